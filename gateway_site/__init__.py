"""The site: settings, front door, URL map. Imports `apps`, never the reverse."""

from gateway_site.celery import app as celery_app

__all__ = ["celery_app"]
