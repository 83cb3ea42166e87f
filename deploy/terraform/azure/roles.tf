# Roles on blobs that allow data actions and nothing else. A condition on an assignment narrows the
# actions it names and lets all others pass, so the built-in roles, which may also delete containers
# or sign for days, are not used.
locals {
  blob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"

  blob_roles = {
    blob-reader  = ["${local.blob}/read"]
    blob-writer  = ["${local.blob}/write", "${local.blob}/add/action"]
    blob-deleter = ["${local.blob}/delete"]
  }
}

resource "azurerm_role_definition" "blob" {
  for_each = local.blob_roles

  name        = "Jitney ${each.key}"
  description = "For leases of Jitney on blobs."
  scope       = "/subscriptions/${var.subscription_id}"

  permissions {
    data_actions = each.value
  }

  assignable_scopes = ["/subscriptions/${var.subscription_id}"]
}
