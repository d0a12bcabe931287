"""What `check_outbox` tells of lanes and purges, when it calls the outbox late, and what it puts right."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from channels.contract import Progress
from notifications.lease import Lease
from notifications.models import Attempt, Label, LaneState, Listing, Notification, Purge, Receipt, Worker
from notifications.outbox import lanes, receipts
from notifications.outbox.claim import Claim
from notifications.states import Outcome
from tests.eventually import eventually
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)

BALANCED, OUT_OF_BALANCE, LATE = 0, 1, 4


@pytest.fixture
def lease() -> Iterator[Lease]:
    """A worker that lives."""
    lease = Lease()
    lease.start()
    eventually(lambda: lease.worker_id and lease.holds(lease.worker_id), what="a lease")
    yield lease
    lease.stop()


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    out = io.StringIO()
    try:
        call_command("check_outbox", "--json", "--watch", "1", *arguments, stdout=out)
    except CommandError as ended:
        return ended.returncode, json.loads(out.getvalue())
    return BALANCED, json.loads(out.getvalue())


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("check_outbox", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def due(id_: UUID, *, ago: timedelta) -> None:
    Notification.objects.filter(pk=id_).update(due_at=timezone.now() - ago)


def claimed(lane: str, worker: UUID | None = None, *, started: bool = True) -> Claim:
    rows.accepted(lane=lane)
    (claim,) = rows.claimed(worker or rows.worker(), lane=lane, started=started)
    return claim


# --- lanes, and what is late ------------------------------------------------------------------------------


def test_each_lane_tells_how_long_its_first_has_been_due() -> None:
    due(rows.accepted(lane="sms"), ago=timedelta(minutes=5))
    rows.accepted(lane="sms")
    due(rows.accepted(lane="email"), ago=timedelta(hours=2))
    due(rows.accepted(lane="slack:ops"), ago=timedelta(hours=-1))

    _, report = run()

    told = [(lane["lane"], lane["pending"], round(lane["due_for"], -1)) for lane in report["lanes"]]
    assert told == [("email", 1, 7200), ("sms", 2, 300), ("slack:ops", 1, -3600)]


def test_a_pause_is_told_with_its_reason_though_nothing_waits_for_its_end() -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "no_service: the webhook was removed")

    _, report = run()

    (lane,) = report["lanes"]
    assert (lane["lane"], lane["pending"], lane["due_for"]) == ("slack:ops", 0, None)
    assert lane["reason"] == "no_service: the webhook was removed"
    assert 290 < lane["paused_for"] <= 300


def test_what_is_due_for_longer_than_the_limit_is_late() -> None:
    due(rows.accepted(lane="sms"), ago=timedelta(minutes=5))

    assert run("--late", "600")[0] == BALANCED
    status, report = run("--late", "60")

    assert (status, report["balanced"], report["late"]) == (LATE, True, ["sms"])


def test_what_waits_for_the_end_of_a_pause_or_for_its_time_is_not_late() -> None:
    due(rows.accepted(lane="sms"), ago=timedelta(minutes=5))
    lanes.pause("sms", timedelta(minutes=5), "asked to wait")
    due(rows.accepted(lane="email"), ago=timedelta(minutes=-5))

    assert run("--late", "60")[0] == BALANCED


def test_books_that_do_not_balance_come_before_what_is_late() -> None:
    due(rows.accepted(lane="sms", key="lost"), ago=timedelta(minutes=5))
    Notification.objects.all().delete()
    due(rows.accepted(lane="sms"), ago=timedelta(minutes=5))

    assert run("--late", "60")[0] == OUT_OF_BALANCE


def test_a_person_reads_the_lanes_as_a_table() -> None:
    due(rows.accepted(lane="sms"), ago=timedelta(minutes=5))
    lanes.pause("email", timedelta(minutes=5), "asked to wait")

    text = printed()

    assert "sms          1  due for 300 s" in text
    assert "email        0  -              300 s more (asked to wait)" in text


# --- the ledger -------------------------------------------------------------------------------------------


def test_what_was_purged_counts_among_what_was_ever_accepted() -> None:
    rows.accepted(lane="sms")
    now = timezone.now()
    Purge.objects.create(at=now - timedelta(days=1), notifications=500, attempts=700, records=0)
    Purge.objects.create(at=now, notifications=20, attempts=20, records=300)

    _, report = run()

    purged = report["purged"]
    assert (purged["notifications"], purged["attempts"], purged["records"]) == (520, 720, 300)
    assert report["accepted"] == 521
    assert "521 were accepted in all." in printed()


# --- repairs ----------------------------------------------------------------------------------------------


def test_a_dead_workers_claims_are_taken_back_by_each_channels_policy() -> None:
    marked, held, released = claimed("slack:ops"), claimed("sms"), claimed("email", started=False)
    Worker.objects.filter(pk=held.worker_id).delete()  # one that somebody else has buried half-way
    assert run()[0] == OUT_OF_BALANCE

    status, report = run("--repair")

    assert (status, report["balanced"]) == (BALANCED, True)
    assert {claim["id"]: claim["status"] for claim in report["repaired"]["claims"]} == {
        str(marked.id): "pending",
        str(held.id): "unknown",
        str(released.id): "pending",
    }
    assert rows.outcomes(marked.id) == [(1, "lost", "", False)]
    assert rows.outcomes(released.id) == [(1, "released", "", False)]
    assert not Worker.objects.exists()


def test_a_living_workers_claims_are_left_to_it(lease: Lease) -> None:
    claim = claimed("sms", lease.worker_id)

    status, report = run("--repair")

    assert (status, report["repaired"]["claims"]) == (BALANCED, [])
    assert rows.row(claim.id).worker_id == lease.worker_id


@pytest.mark.parametrize(
    ("progress", "outcome", "told"),
    [
        (Progress.DELIVERED, Outcome.ACCEPTED, "delivered"),
        (Progress.UNDELIVERED, Outcome.ACCEPTED, "failed"),
        (Progress.TAKEN, Outcome.IN_DOUBT, "sent"),
    ],
)
def test_a_stored_receipt_that_was_not_applied_is_found_and_applied(
    progress: Progress, outcome: Outcome, told: str
) -> None:
    claim = claimed("sms")
    rows.recorded(rows.result(claim, outcome, hold=True))
    now = timezone.now()
    stored = Receipt.objects.create(
        notification_id=claim.id, attempt=1, provider_id="SM1", rank=progress.value, code="30003", received_at=now
    )
    assert run()[0] == BALANCED, "what came just now may be about to be applied"
    Receipt.objects.filter(pk=stored.pk).update(received_at=now - timedelta(minutes=2))

    status, report = run()
    assert (status, [each["kind"] for each in report["violations"]]) == (OUT_OF_BALANCE, ["receipt_not_applied"])
    assert report["violations"][0]["examples"] == [str(claim.id)]

    status, report = run("--repair")
    assert (status, report["repaired"]["receipts"]) == (BALANCED, 1)
    assert rows.row(claim.id).status == told


def test_receipts_that_were_applied_in_any_order_are_in_order() -> None:
    claim = claimed("sms")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED, provider_id="SM1"))
    for progress in (Progress.UNDELIVERED, Progress.DELIVERED, Progress.UNDELIVERED, Progress.TAKEN):
        receipts.receive(claim.id, attempt=1, provider_id="SM1", progress=progress)
    Receipt.objects.update(received_at=timezone.now() - timedelta(hours=1))

    assert run()[0] == BALANCED


def test_pauses_of_lanes_that_hold_nothing_any_more_are_forgotten(lease: Lease) -> None:
    claimed("sms", lease.worker_id)
    long_ago = timezone.now() - timedelta(hours=2)
    for lane in ("slack:renamed", "slack:waiting", "sms"):
        LaneState.objects.create(lane=lane, paused_until=long_ago, reason="refused", failures=3)
    LaneState.objects.create(lane="email", paused_until=timezone.now(), reason="refused", failures=1)
    rows.accepted(lane="slack:waiting")

    _, report = run("--repair")

    assert report["repaired"]["pauses"] == 1
    assert set(LaneState.objects.values_list("lane", flat=True)) == {"slack:waiting", "sms", "email"}


def test_what_speaks_of_a_loss_is_left_as_it_is() -> None:
    """To delete a key's record would let a retry double; to invent an attempt would be a guess."""
    rows.accepted(lane="sms", key="order-42")
    Notification.objects.all().delete()
    claim = claimed("slack:ops")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    Attempt.objects.all().delete()
    before = run()[1]["violations"]

    status, report = run("--repair")

    assert status == OUT_OF_BALANCE
    assert report["violations"] == before
    assert {each["kind"] for each in before} >= {"record_without_notification", "sent_without_acceptance"}


def test_a_repair_where_nothing_is_broken_changes_nothing() -> None:
    claim = claimed("sms")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))
    before = Notification.objects.values().get()

    assert "Repaired: there was nothing that could be." in printed("--repair")
    assert Notification.objects.values().get() == before


def test_a_person_reads_what_was_repaired() -> None:
    claimed(f"slack:{uuid4()}")
    claimed("sms")

    assert "Repaired: 2 claims of dead workers taken back (1 pending, 1 unknown)." in printed("--repair")


def test_what_is_in_no_list_is_put_on_its_clients() -> None:
    """As what an older version of the service accepts while the tables are already the new ones."""
    labeled = rows.accepted(metadata={"order": 42}, key="order-42")
    rows.accepted()
    listed = [*Listing.objects.order_by("id").values(), *Label.objects.values()]
    Listing.objects.all().delete()
    Label.objects.all().delete()
    status, report = run()
    assert (status, [(each["kind"], each["count"]) for each in report["violations"]]) == (1, [("not_listed", 2)])

    assert "Repaired: 2 notifications put on their clients' lists." in printed("--repair")

    assert run()[0] == BALANCED
    assert [*Listing.objects.order_by("id").values(), *Label.objects.values()] == listed
    assert Label.objects.get().id == labeled


def test_the_migration_lists_what_was_there_before_it_as_the_service_does() -> None:
    rows.accepted(metadata={"order": 42, "shop": "north"}, recipient="ann@example.com")
    listed = [*Listing.objects.values(), *Label.objects.order_by("term").values()]
    Listing.objects.all().delete()
    Label.objects.all().delete()

    with connection.cursor() as cursor:
        cursor.execute(import_module("notifications.migrations.0005_listing").FILL)

    assert [*Listing.objects.values(), *Label.objects.order_by("term").values()] == listed
