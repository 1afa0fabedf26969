"""A receiver of Weir's webhooks: takes what its sender has signed, and nothing else.

SECRET=whsec_… PORT=9000 python verify_webhook.py        the secret is shown when the webhook is made
"""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
AT_MOST_SECONDS = 300  # older ones may be somebody's who has listened


def is_signed(headers, body):
    at = headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > AT_MOST_SECONDS:
        return False
    content = b".".join([headers.get("webhook-id", "").encode(), at.encode(), body])
    right = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    # While a secret is being rotated there are two signatures, with a space between them.
    marks = [mark.partition(",")[2] for mark in headers.get("webhook-signature", "").split() if mark.startswith("v1,")]
    return any(hmac.compare_digest(mark, right) for mark in marks)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = is_signed(self.headers, body)
        if good:  # `webhook-id` is the same at every try: do what you do once for each
            print(self.headers["webhook-id"], json.loads(body).get("type"), flush=True)
        self.send_response(204 if good else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
