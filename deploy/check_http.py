"""The health check of web and sandbox containers: exit 0 where /healthz answers 200 on the given port.

Standard library alone, to start fast; no proxy that the environment may name is asked.
"""

from __future__ import annotations

import http.client
import sys

TIMEOUT = 4  # seconds: less than the health check's own, so that the reason is kept


def main() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"/healthz did not answer: {error}")
    finally:
        connection.close()
    if status != http.client.OK:
        sys.exit(f"/healthz answered {status}")


if __name__ == "__main__":
    main()
