from django.db import migrations


def schedule(apps, schema_editor):
    """Written once; from then on the row is the operator's."""
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=1, period="hours"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="Forget old interventions",
        defaults={
            "task": "apps.policies.tasks.forget_interventions",
            "interval": interval,
            "expire_seconds": 3600,
            "description": "What policies did to calls: past WEIR_INTERVENTION_DAYS, and beyond 1,000,000.",
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ("policies", "0003_interventions"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
