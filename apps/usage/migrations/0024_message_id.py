from django.db import migrations, models


def wait_briefly(apps, schema_editor):
    """Behind a copy or a long report all of the ledger's readers and writers would wait for this one."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET LOCAL lock_timeout = '3s'")


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0023_entry_of_session'),
    ]

    operations = [
        migrations.RunPython(wait_briefly, migrations.RunPython.noop),
        migrations.AddField(
            model_name='entry',
            name='message_id',
            field=models.CharField(max_length=100, null=True),
        ),
    ]
