import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("reconciliation", "0002_schedule"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="reportline",
            index=models.Index(fields=["report", "day"], name="report_line_by_day"),
        ),
        migrations.AlterField(
            model_name="reportline",
            name="report",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="lines",
                to="reconciliation.report",
            ),
        ),
    ]
