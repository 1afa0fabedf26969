from django.db import migrations, models

from apps.usage.indexes import AddLedgerIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('usage', '0012_cached_answers'),
    ]

    operations = [
        AddLedgerIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('cached__isnull', False)), fields=['id'], name='entry_cached'),
        ),
    ]
