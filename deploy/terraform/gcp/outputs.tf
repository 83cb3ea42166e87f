output "accounts" {
  description = "The pool, as `accounts` of the target takes it."
  value       = [for account in google_service_account.slot : account.email]
}

output "target" {
  description = "The target's section of the broker's configuration; give it a name of yours in place of `NAME`."
  value       = <<-EOT
    [targets.NAME]
    cloud = "gcp"
    project = "${var.project}"

    [targets.NAME.roles]
    object-deleter = "${google_project_iam_custom_role.object_deleter.name}"

    [targets.NAME.pools.default]
    mode = "${local.managed ? "pam" : "sa-pool"}"
    %{~if local.managed}
    entitlements = ${jsonencode([for it in google_privileged_access_manager_entitlement.leased : it.name])}
    %{~endif}
    accounts = ${jsonencode([for account in google_service_account.slot : account.email])}
  EOT
}
