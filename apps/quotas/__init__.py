"""What restrains a call: limits a minute, budgets a period. Money is counted in the database, never in Redis."""
