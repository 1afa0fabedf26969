from django.db import migrations, models

from apps.audit.concurrently import AddIndexConcurrently, RemoveIndexConcurrently


class Migration(migrations.Migration):
    """Beside the index that it takes the place of: while the old code runs it has either."""

    atomic = False

    dependencies = [
        ("usage", "0021_look_at_months_often"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="dailyrollup",
            index=models.Index(
                fields=["tenant", "level", "day"],
                include=["project", "user", "key", "model", "provider", "cost_nano", "calls"],
                name="daily_by_tenant_told",
            ),
        ),
        RemoveIndexConcurrently(
            model_name="dailyrollup",
            name="daily_by_tenant",
        ),
    ]
