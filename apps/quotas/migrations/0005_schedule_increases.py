from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="minutes"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Record the end of increases",
        defaults={
            "task": "apps.quotas.tasks.expire_increases",
            "interval": interval,
            "expire_seconds": 60,
            "description": "Gateways go back to a budget's own amount by themselves; this writes it into the audit.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0004_increases"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
