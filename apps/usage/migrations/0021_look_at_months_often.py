from django.db import migrations

from apps.usage import partitions


def tell(apps, schema_editor):
    """Months that there are already; whoever reads or writes them goes on meanwhile."""
    if schema_editor.connection.vendor == "postgresql":
        for name in partitions.names():
            schema_editor.execute(f"ALTER TABLE {name} SET ({partitions.STORAGE})")


class Migration(migrations.Migration):

    dependencies = [
        ("usage", "0020_schedule_refusals"),
    ]

    operations = [
        migrations.RunPython(tell, migrations.RunPython.noop, elidable=True),
    ]
