variable "issuer_url" {
  description = "The broker's own issuer, byte by byte as `issuer.url` in its configuration."
  type        = string

  validation {
    condition     = can(regex("^https://[^?#]*[^/?#]$", var.issuer_url))
    error_message = "Expected https and no slash at the end: Entra compares it byte by byte."
  }
}

variable "subscription_id" {
  description = "The subscription in which leases are given."
  type        = string
}

variable "environment" {
  description = "Which of Azure's clouds it is in: `public`, `us-government` or `china`, as the provider's own `environment` says in its words."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "us-government", "china"], var.environment)
    error_message = "Expected public, us-government or china."
  }
}

variable "mode" {
  description = "How the broker gives roles: `pim` (Azure ends them too) or `rbac`."
  type        = string
  default     = "pim"

  validation {
    condition     = contains(["pim", "rbac"], var.mode)
    error_message = "Expected pim or rbac."
  }
}

variable "fast_stop" {
  description = "Whether an ended lease is denied what PIM does not let anybody take yet. For mode `pim`, whose role for the broker, User Access Administrator, writes deny assignments anyway: no right is added."
  type        = bool
  default     = false

  validation {
    condition     = !var.fast_stop || var.mode == "pim"
    error_message = "With `rbac` a removal is taken at once, and there is nothing to stop meanwhile."
  }
}

variable "blob_slots" {
  description = "How many slots carry leases on blobs. As many as leases at a time, and those that rest: a slot rests for some 90 minutes."
  type        = number
  default     = 20

  validation {
    condition     = var.blob_slots >= 0 && var.blob_slots <= 96
    error_message = "Expected 0 to 96: the condition on the broker's right names every slot, and Azure takes 8 KB."
  }
}

variable "role_slots" {
  description = "How many slots carry leases of whole roles."
  type        = number
  default     = 0

  validation {
    condition     = var.role_slots >= 0 && var.role_slots <= 96
    error_message = "Expected 0 to 96."
  }
}

variable "leased_roles" {
  description = "The GUIDs of the role definitions that leases may give, beside those on blobs. None that gives roles."
  type        = set(string)
  default     = []
}

variable "assignable_scopes" {
  description = "Where the broker may give roles: resource groups or resources. Nothing means the whole subscription."
  type        = set(string)
  default     = []
}
