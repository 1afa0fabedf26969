from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="hours"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Forget old health checks",
        defaults={
            "task": "apps.catalog.tasks.forget_checks",
            "interval": interval,
            "expire_seconds": 3600,
            "description": "Those past WEIR_HEALTH_DAYS, and beyond 20,000 of a provider.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("catalog", "0011_health_checks"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
