"""What redaction takes away, what it keeps, and what it leaves alone."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from channels.contract import Progress
from notifications.models import (
    AttachmentLink,
    Attempt,
    Client,
    IdempotencyRecord,
    Label,
    Listing,
    Notification,
    Redaction,
    Straggler,
    WebhookEndpoint,
)
from notifications.outbox import books, listing, operate, receipts, redact
from notifications.outbox.listing import Wanted
from notifications.outbox.purge import purge
from notifications.states import Outcome, Status
from tests.integration.outbox import rows
from tests.integration.outbox.many import history
from tests.integration.outbox.second import Second
from tests.plans.explained import explained

pytestmark = pytest.mark.django_db(transaction=True)

DAYS = timedelta(days=30)
LONG_AGO = timedelta(days=31)
LIVES = {"key_life": timedelta(days=3), "retention": timedelta(days=90)}
ANN = "zenobia@example.com"


@pytest.fixture(autouse=True)
def client() -> Client:
    return Client.objects.create(pk=1, name="shop")


def accepted(*, ago: timedelta = LONG_AGO, **fields: Any) -> UUID:
    moment = datetime.now(UTC) - ago
    milliseconds = int(moment.timestamp() * 1000)
    id_ = UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62))
    told = {"recipient": ANN, "subject": "Hello", "body": "Dear Zenobia", "metadata": {"person": "zenobia"}}
    return rows.accepted(id=id_, created_at=moment, lane=f"slack:{uuid4()}", **{**told, **fields})


def ended(outcome: Outcome = Outcome.ACCEPTED, *, ago: timedelta = LONG_AGO, **fields: Any) -> UUID:
    id_ = accepted(ago=ago, **fields)
    (taken,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(taken, outcome, code="550", detail=f"no such user {ANN}"))
    finish(id_, ago=ago)
    return id_


def finish(id_: UUID, *, ago: timedelta = LONG_AGO) -> None:
    Notification.objects.filter(pk=id_).update(finished_at=timezone.now() - ago)


def redacted() -> int:
    return sum(redact.redact(older_than=DAYS))


def is_redacted(id_: UUID) -> bool:
    return rows.row(id_).redacted_at is not None


def test_nothing_tells_any_more_to_whom_it_went_or_what_it_said() -> None:
    id_ = ended(Outcome.PERMANENT, key="k-1", content=None)
    Notification.objects.filter(pk=id_).update(content={"fields": {"reply_to": ANN}, "files": []})
    AttachmentLink.objects.create(notification_id=id_, digest=b"d" * 32)
    IdempotencyRecord.objects.all().delete()

    assert redacted() == 1

    for table in ("notification", "listing", "label", "attempt", "attachment_link", "event", "receipt"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT coalesce(json_agg(t)::text, '') FROM {table} AS t")
            (told,) = cursor.fetchone()
        assert "zenobia" not in told.lower(), table
    assert not Label.objects.exists()
    assert not AttachmentLink.objects.exists()
    assert not listing.page(1, Wanted(recipient=ANN), before=None, limit=10, channels=["slack"])[0]


def test_that_it_went_when_and_how_is_kept() -> None:
    id_ = ended(Outcome.PERMANENT, key="k-1")
    before = rows.row(id_)

    redacted()

    after = rows.row(id_)
    kept = [
        *("client_id", "channel", "lane", "status", "attempt", "error_code", "correlation_id", "idempotency_key"),
        *("created_at", "finished_at", "priority", "provider_id"),
    ]
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.redacted_at is not None
    assert Attempt.objects.get(notification_id=id_).code == "550"
    assert listing.page(1, Wanted(), before=None, limit=10, channels=["slack"])[0] == [id_]
    assert books.audit().violations == []


@pytest.mark.parametrize("status", ["pending", "sending", "unknown"])
def test_what_is_open_keeps_all_until_it_has_been_finished_for_long_enough(status: str) -> None:
    id_ = accepted()
    if status != "pending":
        (taken,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    if status == "unknown":
        rows.recorded(rows.result(taken, Outcome.IN_DOUBT, hold=True))
    assert rows.row(id_).status == status

    assert redacted() == 0
    assert rows.row(id_).recipient == ANN

    if status == "sending":
        rows.recorded(rows.result(taken, Outcome.ACCEPTED))
    else:
        operate.cancel([id_], actor="ada")
    assert redacted() == 0, "finished just now"

    finish(id_)
    assert redacted() == 1
    assert is_redacted(id_)


def test_the_walk_goes_past_each_once_and_remembers_only_what_it_left_behind() -> None:
    sent, still_open = ended(), accepted()

    assert redacted() == 1

    assert Redaction.objects.get().through == max(sent, still_open)
    assert list(Straggler.objects.values_list("id", flat=True)) == [still_open]
    assert list(redact.redact(older_than=DAYS)) == [0, 0, 0], "one straggler, the end of these, and no walk"

    operate.cancel([still_open], actor="ada")
    finish(still_open)
    assert redacted() == 1
    assert not Straggler.objects.exists()


def test_a_straggler_that_was_purged_is_forgotten() -> None:
    accepted()
    redacted()
    Notification.objects.all().delete()

    assert redacted() == 0
    assert not Straggler.objects.exists()


def test_what_somebody_holds_is_passed_over_and_redacted_later(second: Second) -> None:
    held, free = ended(), ended()

    with transaction.atomic():
        Notification.objects.select_for_update().get(pk=held)
        assert second.run(redacted) == 1
    assert is_redacted(free)
    assert not is_redacted(held)

    assert redacted() == 1
    assert is_redacted(held)


def test_a_claim_neither_waits_for_a_redaction_nor_is_waited_for(second: Second) -> None:
    ended()
    due, claimed_before = rows.accepted(lane="slack:ops"), accepted()
    worker = rows.worker()

    with transaction.atomic():  # claims that are not committed yet
        rows.claimed(worker, lane=rows.row(claimed_before).lane)
        assert second.run(redacted) == 1

    ended()
    with transaction.atomic():  # a batch that is not committed yet
        assert redacted() == 1
        assert [each.id for each in second.run(lambda: rows.claimed(worker))] == [due]


def test_a_replay_in_the_middle_wins_and_is_not_redacted() -> None:
    failed = ended(Outcome.PERMANENT)
    operate.replay([failed], actor="ada")

    assert redacted() == 0
    assert rows.row(failed).status == Status.PENDING
    assert rows.row(failed).recipient == ANN


def test_a_redacted_one_is_not_replayed_but_may_be_canceled() -> None:
    failed = ended(Outcome.PERMANENT)
    redacted()

    assert operate.replay([failed], actor="ada") == {}
    assert operate.cancel([failed], actor="ada") == {failed}


def test_the_key_of_a_redacted_one_goes_when_its_life_is_over() -> None:
    failed = ended(Outcome.PERMANENT, key="k-1")
    assert sum(step.records for step in purge(**LIVES)) == 0, "it could be replayed"
    redacted()

    assert sum(step.records for step in purge(**LIVES)) == 1
    assert Notification.objects.filter(pk=failed).exists()
    assert books.audit().violations == []


def test_a_late_receipt_of_a_redacted_one_counts_as_ever() -> None:
    id_ = ended()
    redacted()

    assert receipts.receive(id_, attempt=1, provider_id="SM1", progress=Progress.DELIVERED) == Status.DELIVERED
    assert rows.row(id_).recipient == ""


def test_counting_says_what_would_be_redacted_and_changes_nothing() -> None:
    ended(), accepted()
    assert sum(redact.redact(older_than=DAYS, counting=True)) == 1
    assert not Straggler.objects.exists()
    assert not Redaction.objects.exists()
    redacted()
    straggler = Straggler.objects.get().id
    operate.cancel([straggler], actor="ada")
    finish(straggler)

    assert sum(redact.redact(older_than=DAYS, counting=True)) == 1
    assert not is_redacted(straggler)


# --- somebody asks to be forgotten -----------------------------------------------------------------------


def forgotten(recipient: str = ANN) -> set[UUID]:
    return redact.forget([each.id for each in redact.of_recipient([recipient]) if each.redactable])


def test_what_went_to_one_recipient_is_found_over_all_clients_and_both_modes() -> None:
    mine = ended(ago=timedelta(0))
    rows.accepted(lane="slack:ops", recipient="bob@example.com")
    test = rows.accepted(lane="~test:slack:ops", channel="slack", recipient=ANN)

    found = redact.of_recipient([ANN, "ann@example.org"])

    assert {(each.id, each.status, each.redactable) for each in found} == {
        (mine, Status.SENT, True),
        (test, Status.PENDING, False),
    }
    assert redact.of_recipient([ANN], ["sms"]) == []


def test_it_is_forgotten_at_once_whatever_its_age_and_others_are_left_alone() -> None:
    mine, other = ended(ago=timedelta(0)), ended(ago=timedelta(0), recipient="bob@example.com")

    assert forgotten() == {mine}
    assert is_redacted(mine)
    assert not is_redacted(other)
    assert forgotten() == set(), "safe to repeat"


def test_what_webhooks_were_told_of_it_is_forgotten_too() -> None:
    endpoint = WebhookEndpoint.objects.create(id=uuid4(), client_id=1, url="https://example.com/hook", secret="s")
    mine = ended(ago=timedelta(0))
    other = ended(ago=timedelta(0), recipient="bob@example.com")
    told = {json.loads(row.body)["data"]["id"]: row for row in Notification.objects.filter(recipient=str(endpoint.id))}
    assert ANN in told[str(mine)].body

    assert forgotten() == set(), "the webhook is still to be told of it"
    assert not is_redacted(mine)

    for telling in rows.claimed(rows.worker(), lane=f"webhook:{endpoint.id}"):
        rows.recorded(rows.result(telling, Outcome.ACCEPTED))
    assert forgotten() == {mine}
    assert rows.row(told[str(mine)].id).body == ""
    assert rows.row(told[str(other)].id).body != ""
    assert Listing.objects.count() == Notification.objects.count()


# --- what it touches -------------------------------------------------------------------------------------

# Each has one version more, an entry in each of the lists' indexes, a line less of each attempt and label.
PAGES_A_ROW = 60
BATCH = {"older_than": timedelta(0), "newest": UUID(int=2**128 - 1), "after": UUID(int=0)}
EMPTY = {"label", "attachment_link", "straggler"}  # or nearly, here: any plan may read them whole


def of_many_recipients() -> None:
    """Fifty thousand, each to somebody else and under a correlation id of its own."""
    history(50_000)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE notification SET recipient = id::text, correlation_id = id::text")
        cursor.execute(
            "UPDATE listing SET recipient = hashtextextended(id::text, client_id),"
            " correlation = hashtextextended(id::text, client_id)"
        )
        cursor.execute("ANALYZE notification, listing")


@pytest.mark.parametrize("mode", ["custom", "generic"])
def test_of_a_large_table_it_touches_its_batch(mode: str) -> None:
    of_many_recipients()
    redact.run(redact.BEGIN, {})
    Straggler.objects.bulk_create(Straggler(id=UUID(int=n)) for n in range(1, 5 * redact.BATCH))
    ids = [UUID(int=n) for n in range(1, redact.BATCH + 1)]

    for sql, parameters in [
        (redact.WALK, BATCH),
        (redact.COUNT_WALK, BATCH),
        (redact.CATCH_UP, BATCH),
        (redact.COUNT_STRAGGLERS, BATCH),
        (redact.FORGET, {"ids": ids}),
    ]:
        with transaction.atomic(), connection.cursor() as cursor:
            # As on a disk without heads; and with ten times the rows, as on any other.
            cursor.execute("SET LOCAL random_page_cost = 1.1")
            plan = explained(sql, parameters, mode=mode)

        assert plan.read_whole <= EMPTY, plan
        assert plan.rows <= 40 * redact.BATCH, plan
        assert plan.pages <= 2 * PAGES_A_ROW * redact.BATCH, plan

    Redaction.objects.update(through=UUID(int=50_000))
    at_the_end = explained(redact.WALK, BATCH, mode=mode)
    assert (at_the_end.rows <= 5, at_the_end.pages <= 50) == (True, True), at_the_end


@pytest.mark.parametrize("mode", ["custom", "generic"])
def test_who_asks_to_be_forgotten_is_found_by_the_lists(mode: str) -> None:
    of_many_recipients()

    plan = explained(redact.OF_RECIPIENT, {"recipients": [str(UUID(int=5))], "channels": None}, mode=mode)

    assert not plan.read_whole, plan
    assert plan.rows <= 5, plan
    assert plan.pages <= 50, plan
