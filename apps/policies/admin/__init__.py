"""Policies in the admin."""

from apps.policies.admin import caches, panels, policies

__all__ = ["caches", "panels", "policies"]
