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

variable "node_type" {
  description = "Node type."
  type        = string
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
