"""An installation of any size for measurements: tenants, keys and calls from a seed, written past the services, and
sums that the real jobs make of them. What it writes keeps every promise of the books."""
