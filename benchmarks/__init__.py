"""`make bench`: Weir beside a bare relay, on one core, in one run.

    python -m benchmarks.run [--quick] [--rounds N] [--seconds S]

    run.py       READ FIRST: the order of a run       contenders.py  who is measured, and how each is started
    load.py      the load generator                   rivals.py      LiteLLM and Portkey, where they are installed
    wire.py      the calls it makes                   servers.py     processes, ports and cores
    bare.py      the relay that does nothing more     memory.py      resident memory and processor time
    seed.py      a full set of limits and budgets     figures.py     medians, percentiles, ratios, targets
                                                      report.py      table, var/bench/latest.json, RESULTS.md

Everything listens on loopback, is started here and stopped by its process id.
"""
