"""However much one client has waiting, another's one is in the next claim; who has much divides what is left."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection

from notifications.models import Notification
from notifications.outbox import lanes
from notifications.outbox.claim import Claim
from notifications.states import Priority

from . import rows
from .draining import LANE, Drain

pytestmark = pytest.mark.django_db(transaction=True)

# Rows as accepting leaves them. Rows: none.
BACKLOG = """
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at)
SELECT gen_random_uuid(), %(client)s, 'slack', %(lane)s, 'ops', '', 'hello ' || n, '{}', %(priority)s,
    now() - interval '1 hour' + n * interval '1 ms', 'pending', 0, 0, 0, false, '', '', '', '', now()
FROM generate_series(1, %(count)s) AS n
"""


def backlog(client: int, count: int, *, priority: int = 1) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BACKLOG, {"client": client, "lane": LANE, "count": count, "priority": priority})


def shares(claims: list[Claim]) -> Counter[int]:
    return Counter(claim.client_id for claim in claims)


@pytest.mark.parametrize("other", [1, 9])
@pytest.mark.parametrize("known", [False, True])
def test_behind_a_clients_twenty_thousand_anothers_one_is_in_the_next_claim(other: int, known: bool) -> None:
    drain = Drain()
    backlog(5, 20_000)
    if known:
        for _ in range(3):
            drain.claim(in_full_flow=known, batch=100)
    one = rows.accepted(client_id=other)

    claims = drain.claim(in_full_flow=known, batch=100)

    assert one in [claim.id for claim in claims[:2]]  # the first round has one of each
    assert len(claims) == 100 if known else claims[-1].more


def test_three_with_much_get_equal_shares() -> None:
    drain = Drain()
    for client in (3, 5, 7):
        backlog(client, 1000)

    claims = [drain.claim(in_full_flow=True, batch=90) for _ in range(10)]

    assert [shares(each) for each in claims] == [{3: 30, 5: 30, 7: 30}] * 10


def test_a_batch_is_filled_by_those_who_have_more_than_their_share() -> None:
    drain = Drain()
    backlog(5, 1000)
    for client in (1, 2, 7, 8):
        backlog(client, 3)

    first, second = (drain.claim(in_full_flow=True, batch=100) for _ in range(2))

    assert shares(first) == {5: 20, 1: 3, 2: 3, 7: 3, 8: 3}  # nobody knew who had much
    assert shares(second) == {5: 100}


def test_whoever_a_full_batch_cuts_short_comes_first_in_the_next() -> None:
    drain = Drain()
    for client in (1, 5, 9):
        backlog(client, 1000)
    drain.claim(in_full_flow=True, batch=90)
    taken: Counter[int] = Counter()

    for _ in range(6):
        backlog(4, 20)
        taken += shares(drain.claim(in_full_flow=True, batch=90))

    assert taken == {4: 120, 1: 140, 5: 140, 9: 140}


def test_more_clients_than_a_batch_holds_are_served_in_turn() -> None:
    drain = Drain()
    for client in range(1, 51):
        backlog(client, 20)
    taken: Counter[int] = Counter()

    for _ in range(25):
        taken += shares(drain.claim(in_full_flow=True, batch=20))

    assert taken.total() == 500
    assert len(taken) == 50
    assert {9, 10, 11} >= set(taken.values())


def test_shares_are_oldest_first() -> None:
    drain = Drain()
    for client in (3, 5):
        backlog(client, 100)
    oldest = {
        client: list(Notification.objects.filter(client_id=client).order_by("due_at").values_list("id", flat=True))
        for client in (3, 5)
    }

    claims = drain.claim(in_full_flow=True, batch=20) + drain.claim(in_full_flow=True, batch=20)

    for client, ids in oldest.items():
        assert [claim.id for claim in claims if claim.client_id == client] == ids[:20]


def test_a_share_is_of_one_priority() -> None:
    drain = Drain()
    backlog(3, 100, priority=0)
    backlog(5, 100, priority=1)

    assert shares(drain.claim(in_full_flow=True, batch=20)) == {3: 20}
    assert shares(drain.claim(in_full_flow=True, batch=20, first=Priority.NORMAL)) == {5: 20}


def test_each_client_finds_its_place_again_when_a_pause_has_ended() -> None:
    drain = Drain()
    backlog(3, 30)
    backlog(5, 200)
    for _ in range(2):
        drain.claim(in_full_flow=True, batch=40)
    lanes.pause(LANE, timedelta(minutes=5), "429")
    assert drain.claim(in_full_flow=True, batch=40) == []

    lanes.resume(LANE)

    assert shares(drain.claim(in_full_flow=True, batch=40)) == {5: 40}
    assert not Notification.objects.filter(client_id=3, status="pending").exists()
