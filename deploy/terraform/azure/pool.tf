# The slots: identities without any standing role, each of which carries one lease at a time. The
# roles that they have for a while are the broker's, so no role assignment of theirs stands here.
locals {
  slots = merge(
    { for number in range(1, var.blob_slots + 1) : format("blobs-%03d", number) => "blobs" },
    { for number in range(1, var.role_slots + 1) : format("role-%03d", number) => "role" },
  )
}

# Who takes what the broker's issuer signs, in each of Azure's clouds.
locals {
  exchange_audiences = {
    public        = "api://AzureADTokenExchange"
    us-government = "api://AzureADTokenExchangeUSGov"
    china         = "api://AzureADTokenExchangeChina"
  }
}

resource "azuread_application" "slot" {
  for_each = local.slots

  display_name     = "jitney-slot-${each.key}"
  sign_in_audience = "AzureADMyOrg"
}

resource "azuread_service_principal" "slot" {
  for_each = local.slots

  client_id = azuread_application.slot[each.key].client_id

  # A slot may be shut by hand while something of it is looked into: an apply must not open it.
  lifecycle {
    ignore_changes = [account_enabled]
  }
}

# One way in, and no password or certificate: the broker's issuer says who this is.
resource "azuread_application_federated_identity_credential" "slot" {
  for_each = local.slots

  application_id = azuread_application.slot[each.key].id
  display_name   = "jitney"
  description    = "The broker's own issuer."
  issuer         = var.issuer_url
  subject        = "jitney:slot:${each.key}"
  audiences      = [local.exchange_audiences[var.environment]]
}
