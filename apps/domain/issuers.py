"""Who signs tokens that callers may present instead of a key."""

from __future__ import annotations

import msgspec


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs tokens that callers may present instead of a key. `url`: as their `iss` has it; `jwks_url` "": told by
    the issuer's own discovery. `required`: what claims must be, each one of its values. Exactly one of `tenant_id` and
    `tenant_claim` says whose calls they are; a project's slug in `project_claim` goes before `project_id`. `version`
    differs when anything of it has been changed. `longest`: seconds from `iat` to `exp`; None: any."""

    id: int
    name: str
    url: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    version: int
    jwks_url: str = ""
    leeway: float = 60.0
    longest: int | None = None
    required: dict[str, tuple[str, ...]] = {}
    tenant_id: int | None = None
    tenant_claim: str = ""
    project_id: int | None = None
    project_claim: str = ""
    welcomes: bool = False
    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    networks: tuple[str, ...] | None = None
    priority: int = 0
