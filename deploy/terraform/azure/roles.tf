# Roles on blobs that allow data actions and nothing else. A condition on an assignment narrows the
# actions it names and lets all others pass, so the built-in roles that write, and may also delete
# containers, are not used.
locals {
  blob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"

  # Storage Blob Data Reader: for reading, the built-in role is narrow enough.
  blob_reader = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"

  blob_roles = {
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
