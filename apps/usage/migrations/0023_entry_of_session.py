from django.db import migrations, models

from apps.usage.indexes import AddLedgerIndex, RemoveLedgerIndex


class Migration(migrations.Migration):
    """By tenant too: what another calls its sessions is not looked through."""

    atomic = False

    dependencies = [
        ("usage", "0022_daily_by_tenant_told"),
    ]

    operations = [
        AddLedgerIndex(
            model_name="entry",
            index=models.Index(
                fields=["session", "tenant", "id"],
                condition=models.Q(("session__isnull", False)),
                name="entry_of_session",
            ),
        ),
        RemoveLedgerIndex(
            model_name="entry",
            name="entry_by_session",
        ),
    ]
