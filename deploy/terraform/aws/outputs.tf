output "roles" {
  description = "The ARNs of the roles that carry leases, by name: the `via` of resources."
  value       = { for name, role in aws_iam_role.lease : name => role.arn }
}

output "policies" {
  description = "What to attach to the broker's identity, or to two of them."
  value = {
    granter = aws_iam_policy.granter.arn
    revoker = aws_iam_policy.revoker.arn
  }
}
