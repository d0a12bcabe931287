"""Empty tables and one client: python -m tests.bench.peers.drf_dramatiq.prepare KEY"""

from __future__ import annotations

import hashlib
import sys

import django
from django.core.management import call_command


def main(key: str) -> None:
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("flush", interactive=False, verbosity=0)
    from tests.bench.peers.drf_dramatiq.models import ApiKey

    ApiKey.objects.create(name="bench", digest=hashlib.sha256(key.encode()).hexdigest())


if __name__ == "__main__":
    main(sys.argv[1])
