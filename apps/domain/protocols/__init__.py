"""Wire formats. Each is a folder of the same four files, each holding the read and write pair of its part:

    request.py    read_request (a client's body), to_chat / write (towards an upstream)
    response.py   write_response / read_response
    stream.py     Encoder (events to client frames) / Decoder (upstream bytes to events)
    error.py      write_error, stream_error / read_error

`exchange.open` is what the gateway calls; `passthrough` serves a caller whose dialect the upstream speaks.
"""
