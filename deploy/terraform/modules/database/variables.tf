variable "name" {
  description = "Begins the names of everything here."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)
}

variable "client_security_group" {
  description = "The security group of the nodes, which alone come in."
  type        = string
}

variable "instance_class" {
  description = "Instance class."
  type        = string
}

variable "storage_gb" {
  description = "Storage."
  type        = object({ first = number, most = number })
}

variable "backup_days" {
  description = "How long backups are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
