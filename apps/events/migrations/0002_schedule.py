from django.db import migrations

CHORES = [
    ("Send events", "deliver", "seconds", 1, 5, "Sends what has happened to the sinks that want it."),
    ("Forget old events", "forget", "hours", 1, 3600, "Events that all sinks have, after WEIR_EVENT_DAYS."),
]


def schedule(apps, schema_editor):
    """Written once; from then on the rows are the operator's."""
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    for name, task, period, every, expires, told in CHORES:
        interval, _ = intervals.get_or_create(every=every, period=period)
        apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
            name=name,
            defaults={
                "task": f"apps.events.tasks.{task}",
                "interval": interval,
                "expire_seconds": expires,
                "description": told,
            },
        )


class Migration(migrations.Migration):

    dependencies = [
        ("events", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
