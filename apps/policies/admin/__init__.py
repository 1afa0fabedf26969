"""Policies in the admin."""

from apps.policies.admin import caches, interventions, panels, policies, settings

__all__ = ["caches", "interventions", "panels", "policies", "settings"]
