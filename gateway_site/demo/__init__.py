"""The demo that `make run` serves: Acme, its people, keys, models on the simulated provider, and a week of usage.

`python -m gateway_site.demo` migrates and seeds what is not there yet. All of it is made through the services that the
admin's buttons call, so it is valid, audited and nothing special.
"""
