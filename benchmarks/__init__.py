"""`make bench`: Weir beside a bare relay, on one core, in one run.

    run.py       READ FIRST: the order of a run       contenders.py  who is measured, and how each is started
    session.py   who is up, and one measurement       rivals.py      LiteLLM and Portkey, where they are installed
    load.py      the load generator                   servers.py     processes, ports and cores
    hold.py      idle open streams                    memory.py      resident memory and processor time
    wire.py      the calls, as bytes                  figures.py     medians, percentiles, ratios, targets
    bare.py      the relay that does nothing more     report.py      table, var/bench/latest.json, RESULTS.md
    seed.py      limits and budgets on four levels     unaccounted.py  Weir without its books

Everything listens on loopback, is started here and stopped by its process id.
"""
