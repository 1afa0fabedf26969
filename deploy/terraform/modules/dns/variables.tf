variable "host" {
  description = "Host name."
  type        = string
}

variable "zone_name" {
  description = "Public zone."
  type        = string
}

variable "balancer" {
  description = "The load balancer; null as long as there is none."
  type        = object({ dns_name = string, zone_id = string })
}
