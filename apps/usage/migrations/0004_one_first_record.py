from django.db import migrations, models

from apps.domain import ids
from apps.usage import append_only


def move(apps, schema_editor):
    renumber(apps.get_model('usage', 'Entry'), schema_editor.connection)


def renumber(model, connection):
    """Unconfirmed entries used to have an id of their own beside the post's: they take the place of the first entry.

    Only ids change, and only where the place is free. It always was: a journal's attempt had an outcome or had none.
    """
    entries = model.objects.using(connection.alias)
    unconfirmed = entries.filter(kind=2, state='unconfirmed').values_list('pk', flat=True)
    old = [entry for entry in unconfirmed if ids.slot_of(entry) == 2]
    if not old:
        return
    append_only.unprotect(connection)
    for entry in old:
        first = ids.in_slot(entry, slot=ids.Slot.FIRST)
        if not entries.filter(pk=first).exists():
            entries.filter(pk=entry).update(id=first)
    append_only.protect(connection)


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0003_indexes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='entry',
            name='kind',
            field=models.PositiveSmallIntegerField(choices=[(1, 'Post'), (2, 'Unconfirmed'), (3, 'Correction'), (4, 'Repriced')]),
        ),
        migrations.AlterField(
            model_name='entry',
            name='usage_source',
            field=models.CharField(choices=[('provider', 'Provider'), ('estimated', 'Estimated'), ('person', 'Person'), ('none', 'None')], max_length=12),
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(condition=models.Q(('kind', 3)), fields=['id'], name='entry_correction'),
        ),
        migrations.RunPython(move, migrations.RunPython.noop),
    ]
