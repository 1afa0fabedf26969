output "name" {
  description = "Name of the secret."
  value       = aws_secretsmanager_secret.this.name
}

output "arn" {
  description = "Its ARN."
  value       = aws_secretsmanager_secret.this.arn
}
