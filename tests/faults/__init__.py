"""What is promised of money, kept while processes are killed, stores break and callers leave.

    make faults [SEED=n | SEEDS=n]      all of it; with SEED one round of mixed chaos, with SEEDS so many
    make faults-long                    1,000 rounds
    make faults CALLS=n                 n calls in each kind of storm: providers of a model fail under load

Everything is on loopback and real: PostgreSQL, Valkey, gateways as processes, the simulated provider, whose own meter
is the oracle.

    proxy.py          Proxy: delay, throttle, hold (a partition), swallow (half open), reset (RST), refuse; heal
    nursery.py        forks gateways that have imported everything: a start takes a third of a second
    desk.py           the operator: tenants, keys, budgets, prices, the reaper, `books`; by `installation.ask(name, …)`
    installation.py   Installation: stores, proxies, provider, desk, nursery. `start(n, failpoint=…)` gives Gateways,
                      with `kill` (SIGKILL), `stop`/`resume` (SIGSTOP/CONT), `tell_to_end`/`terminate` (SIGTERM);
                      `end()` ends all of them and takes over what journals are left
    load.py           Load: callers with an Ask each (dialect, stream, script of the provider, leaving by FIN or RST)
    books.py          Books, differences(books): the ledger beside the meter; [] when all is equal
    plan.py, chaos.py, rounds.py        what happens in a round of mixed chaos, by its seed; the round; many of them
    storms.py         Storm: a provider of three is killed, stalls, limits, fails or is slow; Figures of what came of it
    tenants.py        open_tenant, and `settled`: ends the gateways and returns the differences

Fixtures (conftest): `embedded` (SQLite, one gateway) and `several` (PostgreSQL and Valkey behind proxies), one each a
test module; `postgresql` and `valkey` are services whose `server` may be ended with any signal and started again. A
test makes a tenant of its own, so that nothing of another test's is compared:

    fresh = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**12}])
    gateway, other = installation.start(2)
    async with Load(...) as load: await load.run([Ask(fresh.key), …], at_once=20)
    assert settled(installation, fresh) == []        # ends the gateways, compares

Time that must pass is made to: `installation.ask("silence", name=gateway.name)` makes the database believe that a
replica has not been heard of for an hour. A journal lies in `installation.journals`, or in a folder of its own when
`start(journal=…)` names one: a disk that can be lost. Other settings of one gateway are given to `start` by name.
"""
