from django.db import migrations, models

from apps.usage.indexes import AddLedgerIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('usage', '0014_entry_session'),
    ]

    operations = [
        AddLedgerIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('session__isnull', False)), fields=['session', 'id'], name='entry_by_session'),
        ),
    ]
