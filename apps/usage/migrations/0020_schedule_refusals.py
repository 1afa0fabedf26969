from django.db import migrations

NAME = "Forget refused calls"
TASK = "apps.usage.tasks.forget_refusals"


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    model = lambda name: apps.get_model("django_celery_beat", name).objects
    interval, _ = model("IntervalSchedule").get_or_create(every=1, period="hours")
    model("PeriodicTask").get_or_create(
        name=NAME,
        defaults={
            "task": TASK,
            "description": "Counts after 90 days, single calls after seven.",
            "interval": interval,
            "expire_seconds": 3600,
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("usage", "0019_refusals"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
