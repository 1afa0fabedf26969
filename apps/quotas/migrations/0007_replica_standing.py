from django.db import migrations, models


class Migration(migrations.Migration):
    """What a process says of its deployments with its heartbeat. Older ones say nothing."""

    dependencies = [("quotas", "0006_window_by_end")]
    operations = [
        migrations.AddField(
            model_name="replica",
            name="standing",
            field=models.TextField(db_default="", default="", editable=False),
        ),
    ]
