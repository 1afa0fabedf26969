"""What is true, in pure Python: wire formats, routing, limits, prices.

No framework, no socket, no clock, no dice: time and randomness come in as arguments. Not a Django app.
"""
