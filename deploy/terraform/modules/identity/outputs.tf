output "bedrock_role_arn" {
  description = "For Weir's service accounts. Null without Bedrock."
  value       = one(aws_iam_role.bedrock[*].arn)
}

output "secrets_reader_role_arn" {
  description = "For the service account weir-secrets-reader."
  value       = aws_iam_role.secrets_reader.arn
}
