output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Of nodes and stores."
  value       = aws_subnet.private[*].id
}
