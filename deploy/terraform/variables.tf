variable "region" {
  description = "Where everything is."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-gov)?-[a-z]+-[0-9]$", var.region))
    error_message = "A region looks like eu-central-1."
  }
}

variable "environment" {
  description = "Part of every name: weir-prod."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "Two to twelve small letters and digits, a letter first."
  }
}

variable "host" {
  description = "The name under which Weir is reached."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]+\\.[a-z]{2,}$", var.host))
    error_message = "A full host name in small letters, such as weir.example.org."
  }
}

variable "zone_name" {
  description = "The public Route 53 zone that host lies in; it has to be there."
  type        = string

  validation {
    condition     = var.host == var.zone_name || endswith(var.host, ".${var.zone_name}")
    error_message = "The host must lie in the zone."
  }
}

variable "balancer" {
  description = "The load balancer that the way in has made, once it has: its DNS name and its zone. Null before."
  type = object({
    dns_name = string
    zone_id  = string
  })
  default = null
}

variable "vpc_cidr" {
  description = "Addresses of the VPC. overlays/prod has the same range in its policies."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && tonumber(split("/", var.vpc_cidr)[1]) <= 18
    error_message = "A range of /18 or larger, such as 10.40.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones by name, so that none comes or goes by itself."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Two to four different zones: stores have a spare in another one."
  }
}

variable "operator_cidrs" {
  description = "From where the cluster's API may be reached. Empty: from inside the VPC only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "Ranges such as 203.0.113.0/24, and never the whole world."
  }
}

variable "kubernetes_version" {
  description = "Of EKS. An older one costs extra once AWS's standard support for it has ended, after fourteen months."
  type        = string
  default     = "1.36"

  validation {
    condition     = can(regex("^1\\.(3[0-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "1.30 or newer: pods wait by preStop.sleep, and volumes may be ReadWriteOncePod."
  }
}

variable "node_types" {
  description = "Instance types of the nodes, all of one architecture."
  type        = list(string)
  default     = ["m7i.xlarge"]
}

variable "node_architecture" {
  description = "Of node_types."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.node_architecture)
    error_message = "x86_64 or arm64."
  }

  # AWS's own processors are known by a g after the generation: m7g, c8gn, r7gd, t4g; the first of them was a1.
  validation {
    condition = alltrue([
      for type in var.node_types : can(regex("^(a1|[a-z]+[0-9]+g[a-z]*)\\.", type)) == (var.node_architecture == "arm64")
    ])
    error_message = "Types such as m7g.xlarge are arm64, those such as m7i.xlarge x86_64."
  }
}

variable "node_count" {
  description = "Nodes in each zone: at least, at most. Between them the cluster's autoscaler decides."
  type = object({
    least = number
    most  = number
  })
  default = { least = 1, most = 4 }

  validation {
    condition     = var.node_count.least >= 1 && var.node_count.most >= var.node_count.least
    error_message = "A node at least, and at most no fewer than at least."
  }
}

variable "database_class" {
  description = "Instance class of PostgreSQL."
  type        = string
  default     = "db.m7g.large"

  validation {
    condition     = startswith(var.database_class, "db.")
    error_message = "A class such as db.m7g.large."
  }
}

variable "database_storage_gb" {
  description = "Storage to begin with, and the most it may grow to."
  type = object({
    first = number
    most  = number
  })
  default = { first = 100, most = 1000 }

  validation {
    condition     = var.database_storage_gb.first >= 20 && var.database_storage_gb.most > var.database_storage_gb.first
    error_message = "20 GB at least, and room to grow."
  }
}

variable "backup_days" {
  description = "How long backups of the database are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "7 to 35 days."
  }
}

variable "cache_node_type" {
  description = "Node type of Valkey."
  type        = string
  default     = "cache.m7g.large"

  validation {
    condition     = startswith(var.cache_node_type, "cache.")
    error_message = "A type such as cache.m7g.large."
  }
}

variable "bedrock_models" {
  description = "Models that Weir may invoke, as in their ARNs; * stands for anything. Empty: no Bedrock."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.bedrock_models, "*")
    error_message = "Name the models, or at least their vendors: anthropic.claude-*."
  }
}

variable "namespace" {
  description = "Of Kubernetes, in which Weir runs."
  type        = string
  default     = "weir"
}
