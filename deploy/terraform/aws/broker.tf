# What the broker may do, in two parts, so that another identity can revoke than the one that gives
# (`revoker_credentials`). Attach both to the broker's role, or each to its own.
resource "aws_iam_policy" "granter" {
  name        = "jitney-granter"
  description = "Jitney gives leases: it assumes the roles that carry them."
  policy      = data.aws_iam_policy_document.granter.json
}

resource "aws_iam_policy" "revoker" {
  name        = "jitney-revoker"
  description = "Jitney ends leases: it writes denials on the roles that carry them."
  policy      = data.aws_iam_policy_document.revoker.json
}

data "aws_iam_policy_document" "granter" {
  statement {
    effect    = "Allow"
    actions   = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    resources = local.role_arns
  }
}

data "aws_iam_policy_document" "revoker" {
  statement {
    effect = "Allow"
    actions = [
      "iam:GetRole",
      "iam:ListRolePolicies",
      "iam:GetRolePolicy",
      "iam:PutRolePolicy",
      "iam:DeleteRolePolicy",
    ]
    resources = local.role_arns
  }

  # Sweeps and recovery look for roles that bear our stamp. AWS narrows this call to no role.
  statement {
    effect    = "Allow"
    actions   = ["iam:ListRoles"]
    resources = ["*"]
  }
}

locals {
  role_arns = [for role in aws_iam_role.lease : role.arn]
}
