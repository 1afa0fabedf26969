from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0013_entry_cached'),
    ]

    operations = [
        migrations.AddField(
            model_name='entry',
            name=name,
            field=models.CharField(max_length=64, null=True),
        )
        for name in ('session', 'agent', 'parent_agent')
    ]
