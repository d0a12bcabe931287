"""Lists narrowed to what a client looks for, however much else there is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from notifications.models import Label, Listing, Notification
from notifications.outbox.listing import LIST_AND_LABEL_STORED, LOOK, first_id
from notifications.outbox.purge import purge
from tests.factories import NotificationFactory

from .callers import SMS, Caller
from .test_read import LIST, ids, read

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def accepted_at(moment: datetime) -> Any:
    """An id of that moment, and the moment itself."""
    return {"id": UUID(int=first_id(moment).int | uuid4().int & (1 << 60) - 1), "created_at": moment}


@pytest.mark.parametrize(
    "query",
    [
        *({"channel": "slack"}, {"status": "failed"}, {"status": "unknown"}, {"correlation_id": "order-42"}),
        *({"to": "ann@example.com"}, {"to": "ann@example.com", "channel": "email"}, {"metadata[order]": "42"}),
        *({"metadata[order]": "42", "metadata[shop]": "north"}, {"metadata[price]": "1.5"}),
        {"status": "failed", "channel": "sms", "correlation_id": "failure"},
    ],
)
def test_filters_choose_all_that_fits_and_nothing_else(caller: Caller, other: Caller, query: dict[str, str]) -> None:
    fields: list[dict[str, Any]] = [
        {"channel": "slack"},
        {"channel": "email", "correlation_id": "order-42"},
        {"status": "failed", "correlation_id": "failure"},
        {"status": "unknown"},
        {"metadata": {"order": 42, "shop": "north"}},
        {"metadata": {"order": "42", "price": 1.5}},
        {"metadata": {"order": 43, "other": "42"}},
    ]
    for owner in (caller, other):  # whose are the same, and never shown
        for each in fields:
            NotificationFactory(client=owner.client, **each)
    everything = list(Notification.objects.filter(client=caller.client).order_by("-id"))

    def fits(row: Notification) -> bool:
        known = {
            "channel": row.channel,
            "status": row.status,
            "correlation_id": row.correlation_id,
            "to": row.recipient,
        }
        labels = {f"metadata[{key}]": str(value) for key, value in row.metadata.items()}
        return query.items() <= (known | labels).items()

    wanted = [str(row.id) for row in everything if fits(row)]
    assert wanted
    assert ids(read(caller, LIST, **query)) == wanted


def test_since_is_from_then_on_and_until_is_before(caller: Caller) -> None:
    moments = [NOON + timedelta(microseconds=offset) for offset in (-1, 0, 1, 999_999, 1_000_000)]
    rows = [NotificationFactory(client=caller.client, **accepted_at(moment)) for moment in moments]

    found = read(caller, LIST, since="2026-01-31T13:00:00+01:00", until="2026-01-31T12:00:01Z")

    assert set(ids(found)) == {str(row.id) for row in rows[1:4]}


def test_a_page_of_what_is_rare_comes_in_the_same_time_and_says_where_to_go_on(caller: Caller) -> None:
    oldest = NotificationFactory(client=caller.client, channel="slack", **accepted_at(NOON))
    with connection.cursor() as cursor:  # 6,000 that are younger
        cursor.execute(
            f"""WITH stored AS (
                INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
                    due_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id,
                    idempotency_key, created_at)
                SELECT (lpad(to_hex(%s + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, %s, 'sms',
                    'sms', '+14155552671', '', 'hello', '{{}}', 1, now(), 'pending', 0, 0, 0, false, '', '', '',
                    '', now()
                FROM generate_series(1, 6000) AS n RETURNING *
            ), {LIST_AND_LABEL_STORED} SELECT 1""",
            [int(NOON.timestamp() * 1000), caller.client.pk],
        )

    first = read(caller, LIST, channel="slack")
    assert first["results"] == []
    second = read(caller, first["next"].removeprefix("http://testserver"))
    assert (ids(second), second["next"]) == ([str(oldest.id)], None)
    assert LOOK < 6000 < 2 * LOOK
    assert len(ids(read(caller, LIST))) == 50  # what is not rare fills its page


def test_every_page_together_is_everything_once(caller: Caller) -> None:
    rows = [NotificationFactory(client=caller.client, metadata={"order": n % 2}) for n in range(7)]

    page = read(caller, LIST, limit="2", **{"metadata[order]": "1"})
    seen = ids(page)
    while page["next"]:
        page = read(caller, page["next"].removeprefix("http://testserver"))
        seen += ids(page)

    assert seen == [str(row.id) for row in reversed(rows) if row.metadata["order"] == 1]


def test_what_is_accepted_is_listed_at_once_and_a_refused_key_lists_nothing(caller: Caller) -> None:
    body = {"channel": "sms", "to": "+14155552671", "message": "hello", "metadata": {"order": 42}}
    answer = json.loads(caller.post(LIST, body, key="k", **{"X-Correlation-ID": "order-42"}).content)
    caller.post(LIST, {**body, "message": "another"}, key="k")
    caller.post(LIST, body, key="k")

    for query in ({}, {"to": "+14155552671"}, {"correlation_id": "order-42"}, {"metadata[order]": "42"}):
        assert ids(read(caller, LIST, **query)) == [answer["id"]]
    assert (Listing.objects.count(), Label.objects.count()) == (1, 1)


def test_each_of_a_batch_is_listed(caller: Caller) -> None:
    each = {"channel": "sms", "to": "+14155552671", "message": "hello"}
    batch = {"notifications": [{**each, "metadata": {"n": n}} for n in range(3)]}
    accepted = json.loads(caller.post(f"{LIST}/batch", batch).content)["notifications"]

    assert ids(read(caller, LIST)) == [one["id"] for one in reversed(accepted)]
    assert ids(read(caller, LIST, **{"metadata[n]": "1"})) == [accepted[1]["id"]]


def test_what_is_purged_leaves_the_lists(caller: Caller) -> None:
    caller.post("/api/v1/sms", SMS)
    old = NotificationFactory(
        client=caller.client, status="sent", metadata={"order": 42}, finished_at=NOON, **accepted_at(NOON)
    )

    list(purge(key_life=timedelta(days=30), retention=timedelta(days=1)))

    assert not Notification.objects.filter(id=old.id).exists()
    assert (Listing.objects.count(), Label.objects.count()) == (1, 0)
