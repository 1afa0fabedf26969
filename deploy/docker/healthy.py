"""Asks the process beside it whether it is ready: `healthy.py PORT`. 0: it is. 1: it is not, or does not answer."""

import http.client
import sys

SECONDS = 5


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_ready(int(sys.argv[1])))
