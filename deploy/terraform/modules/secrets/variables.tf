variable "name" {
  description = "Of the secret."
  type        = string
}

variable "database_url" {
  description = "With the password."
  type        = string
  sensitive   = true
}

variable "redis_url" {
  description = "With the password."
  type        = string
  sensitive   = true
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
