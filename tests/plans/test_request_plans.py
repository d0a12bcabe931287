"""What requests, receipts and operators ask, over a quarter of a million rows: work in proportion to the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import selectors
from notifications.models import Attachment, Client
from notifications.outbox import found, listing, receipts
from notifications.outbox.accept import (
    ACCEPT,
    ACCEPT_LABELED,
    ACCEPT_LOOKING,
    ACCEPT_WITH_FILES,
    READ_RECORD,
    Answer,
    Asked,
    NewNotification,
    Use,
    parameters,
)
from notifications.outbox.api_keys import CLIENT_OF_KEY
from notifications.outbox.attachments import READ_FILES
from notifications.outbox.listing import Wanted
from notifications.outbox.operate import CANCEL, REPLAY, RESCHEDULE
from tests.integration.outbox import rows
from tests.plans import tables
from tests.plans.explained import Plan, explained, explained_query
from tests.plans.tables import BUSY, OPERATION, id_of, moment

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

PAGES_A_ROW = 25
NEW = tables.END + 1
PAGE = 20


def accepting(key: str, recipient: str = "+14155552671", *, batch: int = 1, **fields: Any) -> dict[str, object]:
    news = [
        NewNotification(
            id=id_of(NEW + n), channel="sms", lane="sms", recipient=recipient if n == 0 else f"{recipient} {n}",
            subject="", body="hello", metadata={}, priority=1, send_at=None, expires_at=None, **fields,
        )
        for n in range(batch)
    ]  # fmt: skip
    use = Use(BUSY, OPERATION, key, b"\x00")
    asked = Asked(news, use, Answer(202, "/somewhere", b"{}"), "c", moment(NEW))
    return parameters([asked], key_wait=timedelta(seconds=1))


@pytest.mark.parametrize("labeled", [False, True])
@pytest.mark.parametrize("key", ["new", "key-777"])
def test_accepting_reads_no_rows(stage: str, mode: str, key: str, labeled: bool) -> None:
    plan = explained(ACCEPT_LABELED if labeled else ACCEPT, accepting(key), mode=mode)

    assert plan.rows == 0, plan
    assert plan.pages <= 2 * PAGES_A_ROW, plan


@pytest.mark.parametrize("batch", [1, 500])
def test_suppressed_recipients_are_found_by_their_addresses(stage: str, mode: str, batch: int) -> None:
    plan = explained(ACCEPT_LOOKING, accepting("new", "somebody else 3", batch=batch), mode=mode)

    assert "suppression_once" in plan.indexes, plan
    assert not plan.read_whole, plan
    assert plan.rows == 1, plan
    assert plan.pages <= 6 * batch + PAGES_A_ROW, plan


@pytest.mark.parametrize("here", [0, 2])
def test_accepting_with_files_touches_those_alone(stage: str, mode: str, here: int) -> None:
    files = {hashlib.sha256(octets).digest(): octets for octets in (b"one", b"two")}
    for digest, octets in list(files.items())[:here]:  # undone at the end of the test
        Attachment.objects.create(digest=digest, content=octets, used_at=moment(0))
    beside = {"digests": list(files), "files": list(files.values())}
    named = [{"digest": digest.hex()} for digest in files]

    plan = explained(ACCEPT_WITH_FILES, accepting("new", content={"files": named}) | beside, mode=mode)

    assert not plan.read_whole - {"attachment"}, plan  # which has two rows here: any plan may read it whole
    assert plan.rows <= 2 * here, plan
    assert plan.pages <= 3 * PAGES_A_ROW, plan


def test_files_are_read_by_their_digests(stage: str, mode: str) -> None:
    with connection.cursor() as cursor:  # undone at the end of the test
        cursor.execute(
            "INSERT INTO attachment (digest, content, used_at)"
            " SELECT sha256(n::text::bytea), repeat('x', 100)::bytea, now() FROM generate_series(1, 20000) AS n"
        )
    wanted = [hashlib.sha256(str(n).encode()).digest() for n in range(1, 11)]

    plan = explained(READ_FILES, {"digests": wanted}, mode=mode)

    assert plan.indexes == {"attachment_pkey"}, plan
    assert (plan.rows, plan.read_whole) == (10, set()), plan
    assert plan.pages <= PAGES_A_ROW * 10, plan


def test_what_a_key_was_answered_is_one_look_up(stage: str, mode: str) -> None:
    plan = explained(READ_RECORD, {"client": BUSY, "operation": OPERATION, "key": "key-777"}, mode=mode)

    assert plan.indexes == {"idempotency_record_pkey"}, plan
    assert (plan.rows, plan.pages <= 10) == (1, True), plan


@pytest.mark.parametrize(
    ("statement", "first"), [(REPLAY, tables.FAILED), (CANCEL, tables.FAILED), (RESCHEDULE, tables.LATER)]
)
def test_a_change_touches_the_rows_it_names(stage: str, mode: str, statement: LiteralString, first: int) -> None:
    ids = [id_of(first + n) for n in range(500)]
    told = {"ids": ids, "actor": "ada", "detail": "", "send_at": moment(0)}

    plan = explained(statement, told, mode=mode)

    looks = statement is REPLAY  # at the first row of the suppression list, and for each recipient
    assert plan.indexes == {"notification_pkey"} | ({"suppression_once"} if looks else set()), plan
    assert not plan.read_whole, plan
    assert plan.rows == 2 * len(ids) + looks, plan
    assert plan.pages <= PAGES_A_ROW * len(ids), plan


def test_a_receipt_touches_its_notification_and_attempt(stage: str, mode: str) -> None:
    one = {"id": id_of(777), "attempt": 1, "status": "delivered", "code": "", "provider_id": "SM1"}
    for statement in (receipts.LOCK, receipts.FARTHEST, receipts.NOTE, receipts.SETTLE):
        plan = explained(statement, one, mode=mode)

        assert not plan.read_whole, plan
        assert plan.rows <= 2, plan
        assert plan.pages <= 2 * PAGES_A_ROW, plan


def test_whose_a_message_at_the_provider_is_reads_what_went_to_its_recipient(stage: str, mode: str) -> None:
    to = "+14155552671"
    mine, *_ = (rows.accepted(lane="sms", recipient=to, client_id=BUSY) for _ in range(PAGE))
    doubt = {"id": mine, "attempt": 1, "worker": tables.OWN, "recipient": to, "body": "hello", "since": moment(0)}
    for statement in (found.DOUBTFUL_SINCE, found.STILL_OURS, found.OF_OTHERS, found.KEEP):
        plan = explained(statement, {**doubt, "sid": "SM1", "sids": ["SM1", "SM2"]}, mode=mode)

        assert not plan.read_whole, plan
        assert plan.rows <= 4 * PAGE, plan
        assert plan.pages <= 2 * PAGES_A_ROW * PAGE, plan


def asked(read: Callable[[], object]) -> Plan:
    """The plan of the first query that a selector made."""
    with CaptureQueriesContext(connection) as captured:
        read()
    return explained_query(captured.captured_queries[0]["sql"])


def test_an_api_key_is_found_by_its_digest(stage: str, mode: str) -> None:
    plan = explained(CLIENT_OF_KEY, {"digest": tables.digest(777)}, mode=mode)

    assert "api_key_digest_key" in plan.indexes, plan
    assert not plan.read_whole, plan
    assert plan.rows == 1, plan
    assert plan.pages <= 10, plan


def page(stage: str, mode: str, wanted: Wanted, *, before: UUID | None = None) -> Plan:
    asked = listing.parameters(BUSY, wanted, before=before, limit=PAGE, channels=["email", "slack", "sms"])
    return explained(listing.way(wanted), asked, mode=mode)


@pytest.mark.parametrize("before", [None, id_of(100_000)])
def test_a_page_reads_as_much_as_it_shows(stage: str, mode: str, before: UUID | None) -> None:
    plan = page(stage, mode, Wanted(), before=before)

    assert plan.indexes == {"listing_pkey", "notification_pkey"}, plan
    assert plan.rows == 2 * (PAGE + 1), plan
    assert plan.pages <= PAGES_A_ROW * PAGE, plan  # what other tests have rolled back lies on the way


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted(correlation_id="c-777"), "listing_correlation"),
        (Wanted(metadata={"order": "7"}), "label_pkey"),
        (Wanted(recipient="somebody"), "listing_recipient"),
        (Wanted(statuses=frozenset({"failed", "unknown"})), "notification_attention"),
        (Wanted(since=moment(1_000), until=moment(2_000)), "listing_pkey"),
    ],
)
def test_what_is_filtered_by_an_index_reads_as_much_as_it_shows(
    stage: str, mode: str, wanted: Wanted, index: str
) -> None:
    plan = page(stage, mode, wanted)

    assert index in plan.indexes, plan
    assert not plan.read_whole, plan
    # What is before the second that `until` may be off by is looked at as well; the attention index holds its page for
    # each of three channels.
    assert plan.rows <= 2 * listing.LOOK if wanted.until or wanted.statuses else 2 * (PAGE + 1), plan


@pytest.mark.parametrize("wanted", [Wanted(channel="fax"), Wanted(statuses=frozenset({"canceled"}))])
def test_what_is_not_there_is_looked_for_among_so_many_and_no_more(stage: str, mode: str, wanted: Wanted) -> None:
    plan = page(stage, mode, wanted)

    assert not plan.read_whole, plan
    assert plan.rows <= 3 * listing.LOOK, plan


def test_one_notification_is_one_look_up(stage: str) -> None:
    plan = asked(lambda: selectors.notification(Client(id=BUSY), id_of(777)))

    assert plan.indexes == {"notification_pkey"}, plan
    assert (plan.rows, plan.pages <= 10) == (1, True), plan
