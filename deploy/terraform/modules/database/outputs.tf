output "host" {
  description = "Host name."
  value       = aws_db_instance.this.address
}

output "url" {
  description = "DATABASE_URL."
  value       = "postgres://${aws_db_instance.this.username}:${random_password.this.result}@${aws_db_instance.this.address}:${aws_db_instance.this.port}/${aws_db_instance.this.db_name}?sslmode=require"
  sensitive   = true
}
