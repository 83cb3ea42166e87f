variable "project" {
  description = "The project in which leases are given."
  type        = string
}

variable "pool_project" {
  description = "The project of the pool's accounts. One of its own: quotas and rights are by project, and nothing else should lie there."
  type        = string

  validation {
    condition     = var.pool_project != var.project
    error_message = "Expected another project than the one in which leases are given."
  }
}

variable "broker" {
  description = "Who the broker is to Google, as a policy names it: serviceAccount:… or principal://…"
  type        = string

  validation {
    condition     = can(regex("^(serviceAccount:|principal://)", var.broker))
    error_message = "Expected one identity: serviceAccount:… or principal://…"
  }
}

variable "revoker" {
  description = "Who takes back, where that is another identity than `broker`: the target's `revoker_credentials`."
  type        = string
  default     = null

  validation {
    condition     = var.revoker == null || can(regex("^(serviceAccount:|principal://)", var.revoker))
    error_message = "Expected one identity: serviceAccount:… or principal://…"
  }
}

variable "accounts" {
  description = "How many accounts the pool has. As many as leases at a time, and those that rest until their last token is dead."
  type        = number
  default     = 20

  validation {
    condition     = var.accounts >= 1 && var.accounts <= 999
    error_message = "Expected 1 to 999. Google gives a project 100 accounts unless asked for more."
  }
}

variable "leased_roles" {
  description = "The roles that leases may give. None that gives roles, and no custom role that the broker could change."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.leased_roles) <= 10 && (length(var.leased_roles) >= 1) == (length(var.entitlements) == 0)
    error_message = "Expected 1 to 10 roles, as a condition of Google's takes no more; and none beside `entitlements`, by which the broker gives no role itself."
  }

  validation {
    condition = alltrue([
      for role in var.leased_roles : can(regex("^(roles/[a-zA-Z0-9.]+|projects/[a-z0-9-]+/roles/[a-zA-Z0-9_.]+)$", role))
      && !contains(["roles/owner", "roles/editor", "roles/viewer"], role)
    ])
    error_message = "Expected names of roles that take conditions: not owner, editor or viewer."
  }
}

variable "entitlements" {
  description = "What leases may be given by Privileged Access Manager, where it alone gives roles: a role on the project by the entitlement's id, for objects under the condition that `jitney doctor` tells. Nothing means that the broker gives roles itself."
  type = map(object({
    role        = string
    condition   = optional(string)
    max_seconds = optional(number, 29400)
  }))
  default = {}

  validation {
    condition     = alltrue([for id, _ in var.entitlements : can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", id))])
    error_message = "Expected ids of 4 to 63 small letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for it in var.entitlements : it.max_seconds >= 1800 && it.max_seconds <= 604800])
    error_message = "Expected 1800 to 604800 seconds: half an hour to a week, which is what Google takes."
  }
}
