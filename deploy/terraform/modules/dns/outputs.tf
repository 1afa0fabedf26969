output "certificate_arn" {
  description = "Of the host, validated."
  value       = aws_acm_certificate_validation.this.certificate_arn
}
