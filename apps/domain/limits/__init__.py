"""Arithmetic of what restrains a call: rates a minute (rate), money a period (budget). No clock: `now` is given."""
