from django.db import migrations, models

from apps.usage.indexes import AddLedgerIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('usage', '0015_entry_by_session'),
    ]

    operations = [
        AddLedgerIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('session__isnull', False)), fields=['tenant', 'id'], name='entry_in_session'),
        ),
    ]
