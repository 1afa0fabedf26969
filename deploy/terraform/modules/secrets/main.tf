# The keyring opens every credential in the database: it is made once, and to lose it is to lose them. Keep a copy of it
# elsewhere, and not beside a backup of the database (docs/secrets.md).
resource "random_bytes" "keyring" {
  length = 32

  lifecycle {
    prevent_destroy = true
  }
}

resource "random_password" "secret_key" {
  length  = 64
  special = false
}

resource "random_password" "operator_token" {
  length  = 48
  special = false
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = "What Weir's processes need, by the names of its settings"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id = aws_secretsmanager_secret.this.id
  secret_string = jsonencode({
    DATABASE_URL        = var.database_url
    REDIS_URL           = var.redis_url
    WEIR_SECRET_KEY     = random_password.secret_key.result
    WEIR_KEYRING        = random_bytes.keyring.base64
    WEIR_OPERATOR_TOKEN = random_password.operator_token.result
  })

  # A person may rotate the keyring or a password there; the next apply is not to take that back.
  lifecycle {
    ignore_changes = [secret_string]
  }
}
