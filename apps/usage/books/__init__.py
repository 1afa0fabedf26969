"""Whether the books are true: every promise about ledger, budgets and sums, checked by the database itself."""
