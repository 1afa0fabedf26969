from django.db import migrations

TASK = "apps.reconciliation.tasks.work"
TOLD = "Fetches and compares providers' reports and posts adjustments, where somebody has asked for it."


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="minutes"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Work on providers' reports",
        defaults={"task": TASK, "interval": interval, "expire_seconds": 60, "description": TOLD},
    )


class Migration(migrations.Migration):

    dependencies = [
        ("reconciliation", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
