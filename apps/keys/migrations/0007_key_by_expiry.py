from django.db import migrations, models

from apps.audit.concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    """Keys about to expire, and lists of keys by when they do."""

    atomic = False
    dependencies = [("keys", "0006_signed_in_programs")]
    operations = [
        AddIndexConcurrently(model_name="key", index=models.Index(fields=["expires_at", "id"], name="key_by_expiry")),
    ]
