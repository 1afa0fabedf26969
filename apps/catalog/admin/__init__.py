"""Providers, models and prices in the admin. Everything is written by the services, so that it is recorded."""

from apps.catalog.admin import credentials, endpoints, models, price_history, prices, providers

__all__ = ["credentials", "endpoints", "models", "price_history", "prices", "providers"]
