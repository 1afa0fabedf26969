"""Providers, models and prices in the admin. Everything is written by the services, so that it is recorded."""

from apps.catalog.admin import models, prices, providers

__all__ = ["models", "prices", "providers"]
