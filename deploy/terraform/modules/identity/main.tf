# Roles of service accounts: a pod proves whose it is by the cluster's token, and gets credentials for minutes.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "bedrock_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Gateways call; control tests a connection; the worker checks how a provider fares.
    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values = [
        "system:serviceaccount:${var.namespace}:weir-gateway",
        "system:serviceaccount:${var.namespace}:weir-control",
        "system:serviceaccount:${var.namespace}:weir-worker",
      ]
    }
  }
}

data "aws_iam_policy_document" "bedrock" {
  statement {
    sid     = "CallModels"
    actions = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "bedrock:CountTokens"]
    # A profile sends a call on to other regions.
    resources = flatten([for model in var.bedrock_models : [
      "arn:${data.aws_partition.current.partition}:bedrock:*::foundation-model/${model}",
      "arn:${data.aws_partition.current.partition}:bedrock:${var.region}:${data.aws_caller_identity.current.account_id}:inference-profile/*${model}",
    ]])
  }

  statement {
    sid       = "ListModels"
    actions   = ["bedrock:ListFoundationModels"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "bedrock" {
  count = length(var.bedrock_models) > 0 ? 1 : 0

  name               = "${var.name}-bedrock"
  assume_role_policy = data.aws_iam_policy_document.bedrock_trust.json
}

resource "aws_iam_role_policy" "bedrock" {
  count = length(var.bedrock_models) > 0 ? 1 : 0

  name   = "call"
  role   = aws_iam_role.bedrock[0].id
  policy = data.aws_iam_policy_document.bedrock.json
}

data "aws_iam_policy_document" "secrets_reader_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:weir-secrets-reader"]
    }
  }
}

data "aws_iam_policy_document" "secrets_reader" {
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [var.secret_arn]
  }

  statement {
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "secrets_reader" {
  name               = "${var.name}-secrets-reader"
  assume_role_policy = data.aws_iam_policy_document.secrets_reader_trust.json
}

resource "aws_iam_role_policy" "secrets_reader" {
  name   = "read"
  role   = aws_iam_role.secrets_reader.id
  policy = data.aws_iam_policy_document.secrets_reader.json
}
