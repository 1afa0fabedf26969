from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="hours"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Forget answers to repeated requests",
        defaults={
            "task": "apps.access.tasks.forget_answers",
            "interval": interval,
            "description": "What was answered under an Idempotency-Key is given again for a day, and then dropped.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("access", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
