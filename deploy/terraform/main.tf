# EKS, PostgreSQL, Valkey and what belongs to them, for deploy/kubernetes/overlays/prod.

locals {
  name = "weir-${var.environment}"
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# One key for all that lies on disks here: volumes, database, cache, secrets, logs.
resource "aws_kms_key" "weir" {
  description             = "${local.name}: what lies on disks"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "weir" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.weir.key_id
}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "AccountAdministersIt"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }

  statement {
    sid       = "LogsAreWritten"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.current.partition}:logs:${var.region}:${data.aws_caller_identity.current.account_id}:*"]
    }
  }

  # EBS makes disks for nodes in the name of AWS's role for groups of machines. It is there only once an account has had
  # such a group, and a key's policy may not name as principal who is not there; a condition may.
  statement {
    sid       = "NodesHaveDisks"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalArn"
      values   = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }

    condition {
      test     = "BoolIfExists"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

module "network" {
  source = "./modules/network"

  name        = local.name
  region      = var.region
  vpc_cidr    = var.vpc_cidr
  zones       = var.zones
  kms_key_arn = aws_kms_key.weir.arn
}

module "cluster" {
  source = "./modules/cluster"

  name               = local.name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.network.private_subnet_ids
  operator_cidrs     = var.operator_cidrs
  node_types         = var.node_types
  node_architecture  = var.node_architecture
  node_count         = var.node_count
  kms_key_arn        = aws_kms_key.weir.arn
}

module "database" {
  source = "./modules/database"

  name                  = local.name
  vpc_id                = module.network.vpc_id
  subnet_ids            = module.network.private_subnet_ids
  client_security_group = module.cluster.security_group_id
  instance_class        = var.database_class
  storage_gb            = var.database_storage_gb
  backup_days           = var.backup_days
  kms_key_arn           = aws_kms_key.weir.arn
}

module "cache" {
  source = "./modules/cache"

  name                  = local.name
  vpc_id                = module.network.vpc_id
  subnet_ids            = module.network.private_subnet_ids
  client_security_group = module.cluster.security_group_id
  node_type             = var.cache_node_type
  kms_key_arn           = aws_kms_key.weir.arn
}

module "secrets" {
  source = "./modules/secrets"

  name         = "weir/${var.environment}"
  database_url = module.database.url
  redis_url    = module.cache.url
  kms_key_arn  = aws_kms_key.weir.arn
}

module "identity" {
  source = "./modules/identity"

  name              = local.name
  namespace         = var.namespace
  oidc_provider_arn = module.cluster.oidc_provider_arn
  oidc_issuer       = module.cluster.oidc_issuer
  region            = var.region
  bedrock_models    = var.bedrock_models
  secret_arn        = module.secrets.arn
  kms_key_arn       = aws_kms_key.weir.arn
}

module "dns" {
  source = "./modules/dns"

  host      = var.host
  zone_name = var.zone_name
  balancer  = var.balancer
}
