from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("events", "0002_schedule"),
    ]

    operations = [
        migrations.AlterField(
            model_name="undelivered",
            name="state",
            field=models.CharField(
                choices=[("waiting", "Waiting"), ("held", "Held with all later ones"), ("dead", "Dead letter")],
                default="waiting",
                max_length=8,
            ),
        ),
    ]
