"""Amazon Bedrock: two ways to ask a model, embeddings, counting, and the lists of its control plane.

service.py     what all of it shares: model ids, errors, headers      signature.py    who is calling
invoke.py, invoke_request.py                            InvokeModel, for Claude
converse.py, converse_request.py, converse_messages.py  Converse, for every family
embed.py       InvokeModel for Titan's and Cohere's embeddings        count.py        CountTokens
catalogue.py   models and inference profiles                          eventstream.py  frames
shapes.py      requests held against the service's own model, as botocore ships it
"""
