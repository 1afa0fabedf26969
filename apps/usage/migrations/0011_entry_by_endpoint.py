from django.db import migrations, models

from apps.usage.indexes import AddLedgerIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('usage', '0010_pinned_endpoints'),
    ]

    operations = [
        AddLedgerIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('pinned__isnull', False)), fields=['pinned', 'id'], name='entry_by_endpoint'),
        ),
    ]
