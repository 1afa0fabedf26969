"""The people who sign in. What they may do is told by their membership of tenants, not here."""
