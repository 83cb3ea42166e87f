# The roles that carry leases. Inline policies are the broker's: those named `jitney-deny-…` end
# sessions. So none is managed here, and no `aws_iam_role_policies_exclusive` may be put beside.
resource "aws_iam_role" "lease" {
  for_each = var.roles

  name                 = each.key
  description          = "Carries leases of Jitney. Nobody else may assume it."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary_arn
  max_session_duration = 3600
}

resource "aws_iam_role_policy_attachment" "lease" {
  for_each = {
    for attached in flatten([
      for role, about in var.roles : [
        for arn in about.policy_arns : { role = role, arn = arn }
      ]
    ]) : "${attached.role} ${attached.arn}" => attached
  }

  role       = aws_iam_role.lease[each.value.role].name
  policy_arn = each.value.arn
}

# Only the broker, and only under a lease's tag: a session without one could not be ended.
data "aws_iam_policy_document" "trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]

    principals {
      type        = "AWS"
      identifiers = [var.broker_arn]
    }

    condition {
      test     = "StringLike"
      variable = "aws:RequestTag/jitney:lease"
      values   = ["?*"]
    }
  }
}
