from django.db import migrations

from apps.audit import guards


def install(apps, schema_editor):
    guards.install(schema_editor.connection)


def lift(apps, schema_editor):
    guards.lift(schema_editor.connection)


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(install, lift),
    ]
