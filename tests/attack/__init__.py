"""What an attacker would try, row by row (`rows`); `python -m tests.attack` tries it all and writes the table."""
