"""Alerts: what people want to be told of, whether it is so, and who has been told."""
