from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0011_entry_by_endpoint'),
    ]

    operations = [
        migrations.AddField(
            model_name='entry',
            name='cached',
            field=models.SmallIntegerField(choices=[(1, 'Exact'), (2, 'Semantic')], null=True, verbose_name='from the cache'),
        ),
        migrations.AddField(
            model_name='entry',
            name='saved_nano',
            field=models.BigIntegerField(help_text='what the answer had cost when it was given first', null=True, verbose_name='saved'),
        ),
        migrations.AddField(
            model_name='entry',
            name='saved_tokens',
            field=models.BigIntegerField(null=True),
        ),
        *(
            migrations.AddField(
                model_name=table,
                name=name,
                field=models.BigIntegerField(db_default=0, default=0),
            )
            for table in ('hourlyrollup', 'sealedmonth')
            for name in ('hits', 'saved_nano', 'saved_tokens')
        ),
    ]
