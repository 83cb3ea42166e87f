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

  validation {
    condition     = length(var.leased_roles) >= 1 && length(var.leased_roles) <= 10
    error_message = "Expected 1 to 10 roles: a condition of Google's takes no more."
  }

  validation {
    condition = alltrue([
      for role in var.leased_roles : can(regex("^(roles/[a-zA-Z0-9.]+|projects/[a-z0-9-]+/roles/[a-zA-Z0-9_.]+)$", role))
      && !contains(["roles/owner", "roles/editor", "roles/viewer"], role)
    ])
    error_message = "Expected names of roles that take conditions: not owner, editor or viewer."
  }
}
