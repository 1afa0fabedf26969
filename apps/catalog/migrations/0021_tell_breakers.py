from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=5, period="seconds"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Tell of breakers",
        defaults={
            "task": "apps.catalog.tasks.tell_breakers",
            "interval": interval,
            "expire_seconds": 15,
            "description": "Tells event sinks of breakers that have opened or closed.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("catalog", "0020_open_breaker"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
