from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=30, period="seconds"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Check the health of providers",
        defaults={
            "task": "apps.catalog.tasks.check_providers",
            "interval": interval,
            "expires": None,
            "expire_seconds": 60,
            "description": "Each provider is asked when its own interval has passed.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("catalog", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
