"""Accepts notifications in-process, now and then, and says when each was committed, or falls due.

python -m tests.bench.accepting COUNT PRIORITY [SECONDS AHEAD]

The first few are not counted: connections are opened and plans are made.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from time import monotonic_ns, sleep
from uuid import uuid4

import django

django.setup()

from notifications.models import Client  # noqa: E402 - models need Django set up
from notifications.services import NotificationRequest, accept  # noqa: E402 - as above
from notifications.states import Priority  # noqa: E402 - as above

PAUSE = (0.02, 0.08)  # seconds: longer than a send takes, so that each finds an idle worker
FIRST = 20


def main(count: int, priority: Priority, ahead: float) -> None:
    client = Client.objects.get(name="bench")
    for number in range(-FIRST, count):
        words = f"number {number} of many" if number >= 0 else "not counted"
        due = datetime.now(UTC) + timedelta(seconds=ahead)
        request = NotificationRequest(channel="slack", message=words, priority=priority, send_at=due if ahead else None)
        began = monotonic_ns()
        accept(client, request, key=str(uuid4()))
        if number >= 0:
            print(number, began + int(ahead * 1e9) if ahead else monotonic_ns(), flush=True)
        sleep(random.uniform(*PAUSE))  # after the last too: its nudge leaves this process


if __name__ == "__main__":
    main(int(sys.argv[1]), Priority[sys.argv[2]], float(sys.argv[3]) if sys.argv[3:] else 0.0)
