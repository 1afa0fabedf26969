from django.db import migrations, models


class Migration(migrations.Migration):
    """What a process is, with its heartbeat. Older ones say nothing."""

    dependencies = [("quotas", "0008_window_marks")]

    operations = [
        migrations.AddField(
            model_name="replica",
            name="about",
            field=models.TextField(db_default="", default="", editable=False),
        )
    ]
