"""Nullable, without a default: the column is added in place, and the guards of the table stay as they are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0007_reads_area"),
    ]

    operations = [
        migrations.AddField(
            model_name="record",
            name="token",
            field=models.CharField(editable=False, max_length=200, null=True),
        ),
    ]
