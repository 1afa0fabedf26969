variable "name" {
  description = "Begins the names of everything here."
  type        = string
}

variable "region" {
  description = "Region."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC."
  type        = string
}

variable "zones" {
  description = "Availability zones. One that is added goes to the end: addresses hang on the order."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "The key for what lies on disks."
  type        = string
}
