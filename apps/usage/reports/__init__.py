"""What was used and spent over a span of time, as pages, the API and files show it. Everything here only reads.

`spans` says which time is asked about, `sources` where its sums lie (days, hours, or the ledger itself for what is not
summed up yet), `breakdowns` puts them together, `tables` makes rows and columns of them, `forecasts` looks ahead.
"""
