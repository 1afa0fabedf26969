variable "name" {
  description = "Begins the names of everything here."
  type        = string
}

variable "namespace" {
  description = "Of Kubernetes."
  type        = string
}

variable "oidc_provider_arn" {
  description = "Of the cluster."
  type        = string
}

variable "oidc_issuer" {
  description = "Of the cluster, without scheme."
  type        = string
}

variable "region" {
  description = "Where Bedrock is asked."
  type        = string
}

variable "bedrock_models" {
  description = "Models, as in their ARNs."
  type        = list(string)
}

variable "secret_arn" {
  description = "The secret that may be read."
  type        = string
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
