variable "name" {
  description = "Begins the names of everything here."
  type        = string
}

variable "kubernetes_version" {
  description = "Of control plane and nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)
}

variable "operator_cidrs" {
  description = "From where the API may be reached from outside."
  type        = list(string)
}

variable "node_types" {
  description = "Instance types."
  type        = list(string)
}

variable "node_architecture" {
  description = "x86_64 or arm64."
  type        = string
}

variable "node_count" {
  description = "Nodes in each zone."
  type        = object({ least = number, most = number })
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
