from django.db import migrations

CHORES = [
    ("Evaluate alerts", "evaluate", "minutes", 60, "Asks every alert rule, and sends the notices that are due."),
    ("Forget old alerts", "forget", "days", 86400, "Alerts that are over and notices that have been sent, after 90 days."),
]


def schedule(apps, schema_editor):
    """Written once; from then on the rows are the operator's."""
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    for name, task, period, seconds, told in CHORES:
        interval, _ = intervals.get_or_create(every=1, period=period)
        apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
            name=name,
            defaults={
                "task": f"apps.alerts.tasks.{task}",
                "interval": interval,
                "expire_seconds": seconds,
                "description": told,
            },
        )


class Migration(migrations.Migration):

    dependencies = [
        ("alerts", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
