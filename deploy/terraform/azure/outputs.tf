output "slots" {
  description = "The pool, as `slots` of the target takes it."
  value = {
    for name, carries in local.slots : name => {
      client_id = azuread_application.slot[name].client_id
      object_id = azuread_service_principal.slot[name].object_id
      carries   = carries
    }
  }
}

locals {
  role_lines = [
    for name, role in azurerm_role_definition.blob : "${name} = \"${role.role_definition_id}\""
  ]
  slot_lines = [
    for name, carries in local.slots : join("", [
      "${name} = { client_id = \"${azuread_application.slot[name].client_id}\", ",
      "object_id = \"${azuread_service_principal.slot[name].object_id}\", carries = \"${carries}\" }",
    ])
  ]
}

output "target" {
  description = "The target's section of the broker's configuration; give it a name of yours in place of `NAME`."
  value       = <<-EOT
    [targets.NAME]
    cloud = "azure"
    tenant = "${azuread_service_principal.broker.application_tenant_id}"
    subscription = "${var.subscription_id}"
    environment = "${var.environment}"
    mode = "${var.mode}"
    %{~if var.fast_stop}
    fast_stop = "deny-assignment"
    %{~endif}
    credentials = { from = "issuer", client_id = "${azuread_application.broker.client_id}" }

    [targets.NAME.roles]
    ${join("\n", local.role_lines)}

    [targets.NAME.slots]
    ${join("\n", local.slot_lines)}
  EOT
}
