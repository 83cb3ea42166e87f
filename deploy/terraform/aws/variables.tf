variable "broker_arn" {
  description = "The ARN of the role under which the broker runs. It alone may assume the roles that carry leases."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.broker_arn))
    error_message = "Expected the ARN of a role, as in arn:aws:iam::111122223333:role/jitney-broker: a wildcard or a whole account would let others assume them too."
  }
}

variable "roles" {
  description = "The roles that carry leases, by name: what their pipelines need at most. Each lease narrows its role further."
  type = map(object({
    policy_arns = list(string)
  }))

  validation {
    condition     = length(var.roles) > 0
    error_message = "Expected at least one role."
  }
}

variable "permissions_boundary_arn" {
  description = "A policy that bounds every role that carries leases. The broker may write inline policies on them: with a boundary, that gives nothing beyond it."
  type        = string
}
