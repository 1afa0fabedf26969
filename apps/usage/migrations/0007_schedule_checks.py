from django.db import migrations

INTERVALS = [
    ("Count what the metrics tell of the books", "count_figures", 1, "minutes", "Unconfirmed calls, overruns, gaps."),
    ("Check the last two days of the books", "verify_recent", 1, "hours", "As manage.py ledger_verify --quick."),
]
NIGHTS = [
    ("Check all of the books", "verify_everything", "3", "17", "As manage.py ledger_verify."),
    ("Seal old months of the ledger", "seal_months", "4", "47", "Those past WEIR_RETENTION_MONTHS; nothing unless that is set."),
]


def schedule(apps, schema_editor):
    """Written once; from then on the rows are the operator's."""
    model = lambda name: apps.get_model("django_celery_beat", name).objects
    for name, task, every, period, description in INTERVALS:
        interval, _ = model("IntervalSchedule").get_or_create(every=every, period=period)
        add(model("PeriodicTask"), name, task, description, interval=interval, expire_seconds=3600)
    for name, task, hour, minute, description in NIGHTS:
        crontab, _ = model("CrontabSchedule").get_or_create(
            minute=minute, hour=hour, day_of_week="*", day_of_month="*", month_of_year="*", timezone="UTC"
        )
        add(model("PeriodicTask"), name, task, description, crontab=crontab, expire_seconds=6 * 3600)


def add(tasks, name, task, description, **when):
    tasks.get_or_create(name=name, defaults={"task": f"apps.usage.tasks.{task}", "description": description, **when})


class Migration(migrations.Migration):

    dependencies = [
        ("usage", "0006_open_attempts"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
