"""What can be called and at what price: providers, their credentials, models, deployments, price cards.

Credentials are written, never read back: only `selectors.snapshot_models` and the health check decrypt them, through
`vault`.
"""
