# The pool: accounts that carry one lease at a time, and rest disabled after it. A new one is enabled
# until its first lease is over, whatever would stand here; it may do nothing, and nobody is it.
resource "google_service_account" "slot" {
  for_each = toset([for number in range(1, var.accounts + 1) : format("jitney-%03d", number)])

  project      = var.pool_project
  account_id   = each.key
  display_name = "Carries leases of Jitney"

  # Both are the broker's. An apply that enabled an account would wake every token of its former
  # leases, and one that wrote its description would wipe the stamp by which leases are found.
  lifecycle {
    ignore_changes = [disabled, description]
  }
}
