"""Every setting, in the words of the page that tells of it: `docs/configuration.md`, whose tables are made of these.

What kind of value it is, its default and whether production must have it stand where it is read, in `settings.py` and
few other places; `gateway_site.reference` reads that there. A setting that is read and not declared ends the start.
"""

from __future__ import annotations

from gateway_site.declared import calls, people, stores, telling
from gateway_site.declared.setting import Section, Setting

__all__ = ["NAMES", "SECTIONS", "Section", "Setting"]

SECTIONS: tuple[Section, ...] = (*stores.SECTIONS, *people.SECTIONS, *calls.SECTIONS, *telling.SECTIONS)
NAMES: frozenset[str] = frozenset(setting.name for section in SECTIONS for setting in section.settings)
