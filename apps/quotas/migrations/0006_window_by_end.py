from django.db import migrations, models

from apps.audit.concurrently import AddIndexConcurrently


class Migration(migrations.Migration):
    """Of all periods that were, those of the present are found by their end."""

    atomic = False
    dependencies = [("quotas", "0005_schedule_increases")]
    operations = [
        AddIndexConcurrently(model_name="budgetwindow", index=models.Index(fields=["ends"], name="window_by_end")),
    ]
