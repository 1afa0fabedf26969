from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="hours"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Record the expiry of keys",
        defaults={
            "task": "apps.keys.tasks.audit_expired_keys",
            "interval": interval,
            "description": "Expired keys are refused at once; this writes their end into the audit.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("keys", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
