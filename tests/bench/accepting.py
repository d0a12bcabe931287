"""Accepts notifications in-process, now and then, and says when each was committed.

python -m tests.bench.accepting COUNT PRIORITY
"""

from __future__ import annotations

import random
import sys
from time import monotonic_ns, sleep
from uuid import uuid4

import django

django.setup()

from notifications.models import Client  # noqa: E402 - models need Django set up
from notifications.services import NotificationRequest, accept  # noqa: E402 - as above
from notifications.states import Priority  # noqa: E402 - as above

PAUSE = (0.02, 0.08)  # seconds: longer than a send takes, so that each finds an idle worker


def main(count: int, priority: Priority) -> None:
    client = Client.objects.get(name="bench")
    for number in range(count):
        sleep(random.uniform(*PAUSE))
        request = NotificationRequest(channel="slack", message=f"number {number} of many", priority=priority)
        accept(client, request, key=str(uuid4()))
        print(number, monotonic_ns(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Priority[sys.argv[2]])
