# The broker itself, known by its own issuer (`credentials = { from = "issuer", … }`).
resource "azuread_application" "broker" {
  display_name     = "jitney-broker"
  sign_in_audience = "AzureADMyOrg"
}

resource "azuread_service_principal" "broker" {
  client_id = azuread_application.broker.client_id
}

resource "azuread_application_federated_identity_credential" "broker" {
  application_id = azuread_application.broker.id
  display_name   = "jitney"
  description    = "The broker's own issuer."
  issuer         = var.issuer_url
  subject        = "jitney:broker"
  audiences      = [local.exchange_audiences[var.environment]]
}

locals {
  # Built-in roles: User Access Administrator, which PIM asks for, and Role Based Access Control
  # Administrator, which is less and enough for plain assignments.
  giving_role = {
    pim  = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
    rbac = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
  }[var.mode]

  giving_scopes = length(var.assignable_scopes) > 0 ? var.assignable_scopes : toset(["/subscriptions/${var.subscription_id}"])

  given_roles = join(", ", concat(
    [local.blob_reader],
    [for role in azurerm_role_definition.blob : role.role_definition_id],
    sort(var.leased_roles),
  ))
  given_to = join(", ", [for slot in azuread_service_principal.slot : slot.object_id])

  # Only these roles, and only to the slots: whoever has the broker's identity can make nobody else
  # mighty, and nobody of the pool mightier than a lease.
  only_to_slots = <<-EOT
    (
      (
        !(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})
      )
      OR
      (
        @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.given_roles}}
        AND
        @Request[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {${local.given_to}}
      )
    )
    AND
    (
      (
        !(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})
      )
      OR
      (
        @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.given_roles}}
        AND
        @Resource[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {${local.given_to}}
      )
    )
  EOT
}

resource "azurerm_role_assignment" "broker" {
  for_each = local.giving_scopes

  scope              = each.value
  role_definition_id = "/subscriptions/${var.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/${local.giving_role}"
  principal_id       = azuread_service_principal.broker.object_id
  principal_type     = "ServicePrincipal"
  description        = "Jitney gives leases to its slots, and takes them back."
  condition_version  = "2.0"
  condition          = local.only_to_slots

  lifecycle {
    precondition {
      condition     = length(local.only_to_slots) <= 8192
      error_message = "Azure's conditions take 8 KB: so many slots and roles do not fit. Use fewer, or a second installation."
    }
  }
}
