from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0023_entry_of_session'),
    ]

    operations = [
        migrations.AddField(
            model_name='entry',
            name='message_id',
            field=models.CharField(max_length=100, null=True),
        ),
    ]
