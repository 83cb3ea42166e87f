# What Privileged Access Manager gives, to each account of the pool and to nobody else, without
# anybody's approval: whether a lease may be given is the policy's to say, and a job waits for no
# one. An account asks for itself, so the broker needs no right to grant.
resource "google_privileged_access_manager_entitlement" "leased" {
  for_each = var.entitlements

  parent               = "projects/${var.project}"
  location             = "global"
  entitlement_id       = each.key
  max_request_duration = "${each.value.max_seconds}s"

  eligible_users {
    principals = [for account in google_service_account.slot : "serviceAccount:${account.email}"]
  }

  requester_justification_config {
    unstructured {}
  }

  privileged_access {
    gcp_iam_access {
      resource_type = "cloudresourcemanager.googleapis.com/Project"
      resource      = "//cloudresourcemanager.googleapis.com/projects/${var.project}"

      role_bindings {
        role                 = each.value.role
        condition_expression = each.value.condition
      }
    }
  }
}

locals {
  managed = length(var.entitlements) > 0

  managers = local.managed ? {
    asker = { title = "Jitney: looks at grants", member = var.broker, permissions = [
      "privilegedaccessmanager.entitlements.get",
      "privilegedaccessmanager.entitlements.list",
      "privilegedaccessmanager.grants.get",
      "privilegedaccessmanager.grants.list",
      "privilegedaccessmanager.locations.checkOnboardingStatus",
    ] }
    ender = { title = "Jitney: revokes grants", member = local.revoker, permissions = [
      "privilegedaccessmanager.grants.list",
      "privilegedaccessmanager.grants.revoke",
    ] }
  } : {}
}

resource "google_project_iam_custom_role" "manager" {
  for_each = local.managers

  project     = var.project
  role_id     = "jitney${title(each.key)}"
  title       = each.value.title
  description = "For leases by Privileged Access Manager. It grants nothing and changes no entitlement."
  permissions = each.value.permissions
}

resource "google_project_iam_member" "manager" {
  for_each = local.managers

  project = var.project
  role    = google_project_iam_custom_role.manager[each.key].name
  member  = each.value.member
}
