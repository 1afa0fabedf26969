output "cluster_name" {
  description = "aws eks update-kubeconfig --name …"
  value       = module.cluster.name
}

output "vpc_cidr" {
  description = "For components/external-stores, eks and backup: network.yaml. Its first three eighths are WEIR_TRUSTED_PROXIES."
  value       = var.vpc_cidr
}

output "secret_name" {
  description = "For components/external-secrets: remoteRef.key."
  value       = module.secrets.name
}

output "secrets_reader_role_arn" {
  description = "For components/external-secrets: the annotation of the service account weir-secrets-reader."
  value       = module.identity.secrets_reader_role_arn
}

output "bedrock_role_arn" {
  description = "For components/eks: the annotation of Weir's service accounts. Null without Bedrock."
  value       = module.identity.bedrock_role_arn
}

output "database_host" {
  description = "For istio/overlays/prod: stores.yaml."
  value       = module.database.host
}

output "redis_host" {
  description = "For istio/overlays/prod: stores.yaml."
  value       = module.cache.host
}

output "certificate_arn" {
  description = "For a balancer that ends TLS itself, instead of cert-manager's certificate."
  value       = module.dns.certificate_arn
}
