from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0005_sealed_months'),
    ]

    operations = [
        migrations.CreateModel(
            name='OpenAttempt',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('request_id', models.UUIDField()),
                ('attempt', models.PositiveSmallIntegerField()),
                ('replica', models.CharField(db_index=True, max_length=120)),
                ('intent', models.BinaryField()),
                ('started_at', models.DateTimeField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
    ]
