"""The simulated provider: a real server that speaks every vendor's dialect, breaks on request and meters itself.

    python -m apps.simulator --port 8001 --meter calls.jsonl [--speed 2 | --fast]

Written from the vendors' documentation alone. It must never import `apps.domain.protocols`: a gateway tested against
its own reading of a wire format would only confirm itself. Nor does it import Django or any other part of Weir.

    app.py        keys, the log of recent calls                  script.py     what a model's name asks for
    places.py     what is served where                           answer.py     what to say
    complete.py   one completion, from body to meter             tokens.py     what counts as a token
    play.py       how it is sent: pace and faults                meter.py      what was emitted, one line an event
    dialect.py    what a dialect must be able to do              vectors.py    embeddings
    models.py     which models are listed                        keys.py       whose call it is

A dialect has a file that answers and one beside it, `…_request.py`, that reads strictly what is asked: anthropic,
openai (Chat Completions), responses, ollama, and the folder bedrock. completions and embeddings do both in one.
"""
