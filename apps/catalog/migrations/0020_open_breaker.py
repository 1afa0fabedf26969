import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0019_key_of_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='OpenBreaker',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('until', models.DateTimeField(null=True)),
                ('since', models.DateTimeField(default=django.utils.timezone.now)),
                ('deployment', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='open_breaker', to='catalog.deployment')),
            ],
            options={
                'default_permissions': (),
            },
        ),
    ]
