"""`make sbom`, judged by CycloneDX's own library."""

from __future__ import annotations

import json

import pytest

from tests import supply
from tests.deploy import tools

pytestmark = [pytest.mark.once, pytest.mark.attack("F35")]
JUDGE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
print(fault or "valid")
"""


@pytest.mark.parametrize(("changes", "told"), [({}, "valid"), ({"components": [{"type": "package"}]}, "'package'")])
def test_the_list_is_what_its_schema_wants(changes, told):
    said = tools.run("python", "-c", JUDGE, given=json.dumps(supply.sbom() | changes))
    assert told in said.output, said.text
