"""What providers say was used and what it cost, held against the ledger."""
