"""What a worker costs that has nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from channels.sandbox.server import Sandbox
from notifications.models import Notification
from tests import processes
from tests.eventually import eventually
from tests.statements import Counter, counting

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

MOST_A_SECOND = 3  # two beats, one look of the relay
WATCHED = 10  # seconds
EDGES = 2  # beats and looks come in two rhythms: a span may hold one more of each than its length says
TALLIES = 2  # once in a minute: what was counted before it came to rest, and the sample of what waits


def counted_in(seconds: float, counter: Counter) -> int:
    before, until = counter.counted, monotonic() + seconds
    eventually(lambda: monotonic() >= until, seconds=seconds + 5)
    return counter.counted - before


def at_rest(counter: Counter) -> bool:
    return counted_in(1, counter) <= MOST_A_SECOND + EDGES + TALLIES


def test_an_idle_worker_makes_at_most_three_statements_a_second(
    post: Post, sandbox: Sandbox, providers: dict[str, str], nudges: str
) -> None:
    with counting() as counter, processes.worker(**providers, BROKER_URL=nudges, DATABASE_URL=counter.url):
        post("hello")
        eventually(lambda: Notification.objects.get().status == "sent", what="sent, and idle after it")

        eventually(lambda: at_rest(counter), what="a worker at rest")

        counted = counted_in(WATCHED, counter)

    print(f"an idle worker, {nudges.partition(':')[0] or 'no broker'}: {counted} statements in {WATCHED} s")
    assert WATCHED < counted <= WATCHED * MOST_A_SECOND + EDGES + TALLIES


def test_what_is_due_later_or_held_makes_a_worker_no_busier(
    post: Post, sandbox: Sandbox, providers: dict[str, str]
) -> None:
    for n in range(50):
        post(f"later {n}", send_at=datetime.now(UTC) + timedelta(hours=1 + n))
        post(f"by phone {n}", channel="sms", to="+14155552671", send_at=datetime.now(UTC) + timedelta(hours=1 + n))
    with counting() as counter, processes.worker(**providers, DATABASE_URL=counter.url):
        eventually(lambda: at_rest(counter), what="a worker at rest")

        counted = counted_in(WATCHED, counter)

    assert WATCHED < counted <= WATCHED * MOST_A_SECOND + EDGES + TALLIES
