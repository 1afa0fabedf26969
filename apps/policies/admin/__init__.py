"""Policies in the admin."""

from apps.policies.admin import caches, interventions, panels, policies

__all__ = ["caches", "interventions", "panels", "policies"]
