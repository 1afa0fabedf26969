"""The only door out: pooled HTTP clients, time limits per phase, and the guard against inward addresses.

Nothing else in Weir opens a connection to a host that a person configured.
"""
