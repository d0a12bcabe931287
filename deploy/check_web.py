"""The health check of a web container: exit 0 where /healthz answers 200. Standard library alone, to start fast.

It asks under a name that ALLOWED_HOSTS lets in, as every request must.
"""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit

PORT = 8000  # inside the container, whatever it is published as
TIMEOUT = 4  # seconds: less than the health check's own, so that the reason is logged


def served_name(environment: dict[str, str]) -> str:
    """A host name that the service answers to, by the same two variables as its settings."""
    first = environment.get("ALLOWED_HOSTS", "").split(",")[0].strip()
    if name := first.lstrip(".*"):  # ".example.com" lets in example.com too, and "*" anything
        return name
    return urlsplit(environment.get("PUBLIC_URL", "").strip()).hostname or "localhost"


def main() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz", headers={"Host": served_name(dict(os.environ))})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"/healthz did not answer: {error}")
    finally:
        connection.close()
    if status != http.client.OK:
        sys.exit(f"/healthz answered {status}")


if __name__ == "__main__":
    main()
