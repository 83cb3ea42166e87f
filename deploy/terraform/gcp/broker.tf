# Who gives and who takes back: one identity, or two of which a stolen one can do only half.
locals {
  revoker = var.revoker == null ? var.broker : var.revoker
  both    = merge({ broker = var.broker }, var.revoker == null ? {} : { revoker = var.revoker })
}

# What the broker may do to the accounts of the pool, each by itself: to lend one and to take it
# back. Not to sign by it, and not to make keys of it: those would outlive every lease.
resource "google_project_iam_custom_role" "lender" {
  project     = var.pool_project
  role_id     = "jitneyLender"
  title       = "Jitney: lends the pool"
  description = "Enables and stamps the accounts that carry leases."
  permissions = [
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.enable",
    "iam.serviceAccounts.update",
  ]
}

resource "google_project_iam_custom_role" "taker" {
  project     = var.pool_project
  role_id     = "jitneyTaker"
  title       = "Jitney: takes the pool back"
  description = "Disables and stamps the accounts that carry leases."
  permissions = [
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.disable",
    "iam.serviceAccounts.update",
  ]
}

resource "google_project_iam_custom_role" "minter" {
  project     = var.pool_project
  role_id     = "jitneyMinter"
  title       = "Jitney: mints tokens"
  description = "Makes access tokens of the accounts that carry leases, and nothing else of them."
  permissions = ["iam.serviceAccounts.getAccessToken"]
}

resource "google_service_account_iam_member" "lender" {
  for_each = google_service_account.slot

  service_account_id = each.value.name
  role               = google_project_iam_custom_role.lender.name
  member             = var.broker
}

resource "google_service_account_iam_member" "taker" {
  for_each = google_service_account.slot

  service_account_id = each.value.name
  role               = google_project_iam_custom_role.taker.name
  member             = local.revoker
}

resource "google_service_account_iam_member" "minter" {
  for_each = google_service_account.slot

  service_account_id = each.value.name
  role               = google_project_iam_custom_role.minter.name
  member             = var.broker
}

# Policies of the project and its buckets: read without limit, written for the leased roles alone.
resource "google_project_iam_custom_role" "reader" {
  project     = var.project
  role_id     = "jitneyPolicyReader"
  title       = "Jitney: reads policies"
  description = "Sees who has what, before and after a lease."
  permissions = [
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "storage.buckets.getIamPolicy",
  ]
}

resource "google_project_iam_custom_role" "binder" {
  project     = var.project
  role_id     = "jitneyPolicyBinder"
  title       = "Jitney: writes policies"
  description = "Gives leases, and takes them back."
  permissions = [
    "resourcemanager.projects.setIamPolicy",
    "storage.buckets.setIamPolicy",
  ]
}

resource "google_project_iam_member" "reader" {
  for_each = local.both

  project = var.project
  role    = google_project_iam_custom_role.reader.name
  member  = each.value
}

# Google limits by role, not by member: whoever has the broker's identity could give these roles to
# anybody. Without the condition it could give every role. Where Privileged Access Manager gives, the
# broker writes no policy at all.
resource "google_project_iam_member" "binder" {
  for_each = local.managed ? {} : local.both

  project = var.project
  role    = google_project_iam_custom_role.binder.name
  member  = each.value

  condition {
    title       = "leased roles only"
    description = "Jitney gives and takes the roles of its leases, and no others."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in var.leased_roles : "'${role}'"])}])"
  }
}
