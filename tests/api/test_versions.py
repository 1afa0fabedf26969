"""Who changes something says which version they have read."""

from __future__ import annotations

from apps.keys import services as keys
from apps.keys.models import Key
from apps.tenants.models import Project
from tests import factories


def path_of(world):
    return f"/projects/{world.ids['projects']}"


def test_a_version_comes_with_what_is_read_and_is_asked_for_with_what_is_written(world):
    path = path_of(world)
    tag = world.owner("GET", path)["ETag"]
    missing = world.owner("PATCH", path, {"name": "x"})
    assert (missing.status_code, missing.json()["code"]) == (428, "version_required")
    done = world.owner("PATCH", path, {"name": "Renamed"}, if_match=tag)
    assert done.status_code == 200
    assert done["ETag"] not in ("", tag)
    assert world.owner("GET", path)["ETag"] == done["ETag"]


def test_a_stale_version_changes_nothing(world):
    path = path_of(world)
    tag = world.owner("GET", path)["ETag"]
    world.admin.patch(path, {"name": "By another"})
    late = world.owner("PATCH", path, {"name": "Too late"}, if_match=tag)
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert late["ETag"] == world.owner("GET", path)["ETag"]
    assert Project.objects.get(pk=world.ids["projects"]).name == "By another"


def test_any_version_and_several(world):
    path = path_of(world)
    assert world.owner("PATCH", path, {"name": "Any"}, if_match="*").status_code == 200
    tag = world.owner("GET", path)["ETag"]
    assert world.owner("PATCH", path, {"name": "One of"}, if_match=f'"x", {tag}').status_code == 200


def test_removing_asks_for_it_too(world):
    path = f"/limits/{world.ids['limits']}"
    assert world.operator("DELETE", path).status_code == 428
    assert world.operator("DELETE", path, if_match='"stale"').status_code == 412
    assert world.operator.delete(path).status_code == 204
    assert world.operator("GET", path).status_code == 404


def test_uses_make_no_new_version(world):
    key = factories.key(world.rows["Project"]).key
    tag = world.operator("GET", f"/keys/{key.pk}")["ETag"]
    keys.touch([(key.pk, key.created_at, "192.0.2.1", "curl")])
    assert Key.objects.get(pk=key.pk).last_used_at is not None
    assert world.operator("GET", f"/keys/{key.pk}")["ETag"] == tag
