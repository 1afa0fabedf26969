from django.db import migrations

TASKS = [
    ("Roll usage up by the hour", "roll_up", 5, "minutes", "Rollups are computed again from the ledger, so more often is only fresher."),
    ("Make the ledger's partitions ahead", "ensure_partitions", 1, "days", "Months ahead on PostgreSQL; nothing on SQLite."),
    ("Free the leases of dead replicas", "reap_replicas", 1, "minutes", "After ten minutes without a sign of life."),
]


def schedule(apps, schema_editor):
    """Written once; from then on the rows are the operator's."""
    for name, task, every, period, description in TASKS:
        interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
            every=every, period=period
        )
        apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
            name=name,
            defaults={
                "task": f"apps.usage.tasks.{task}",
                "interval": interval,
                "expire_seconds": 3600,
                "description": description,
            },
        )


class Migration(migrations.Migration):

    dependencies = [
        ("usage", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
