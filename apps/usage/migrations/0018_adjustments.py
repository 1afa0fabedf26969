from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0017_rollups_by_endpoint_and_day'),
    ]

    operations = [
        migrations.AlterField(
            model_name='entry',
            name='kind',
            field=models.PositiveSmallIntegerField(choices=[(1, 'Post'), (2, 'Unconfirmed'), (3, 'Correction'), (4, 'Repriced'), (5, 'Adjustment')]),
        ),
        migrations.AddField(
            model_name='sealedmonth',
            name='rows_adjusted',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
