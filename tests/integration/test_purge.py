"""What a purge deletes, what it leaves alone, and that the books balance after it."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_django
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from channels.contract import Progress
from notifications.models import (
    Attachment,
    AttachmentLink,
    Attempt,
    Event,
    IdempotencyRecord,
    Notification,
    Operation,
    Purge,
    Receipt,
)
from notifications.outbox import books, operate, receipts
from notifications.outbox import purge as sql
from notifications.outbox.attachments import UNUSED_FOR
from notifications.outbox.purge import Step, purge
from notifications.states import Outcome
from tests.integration.outbox import rows
from tests.integration.outbox.many import history
from tests.plans.explained import explained

pytestmark = pytest.mark.django_db(transaction=True)

KEY_LIFE = timedelta(days=3)
RETENTION = timedelta(days=30)
PAST_RETENTION = timedelta(days=31)
PAST_KEY_LIFE = timedelta(days=4)


def id_of(moment: datetime) -> UUID:
    """Of version 7, as the application would have made it then."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62))


def accepted(*, ago: timedelta, key: str | None = None, lane: str | None = None) -> UUID:
    moment = datetime.now(UTC) - ago
    return rows.accepted(id=id_of(moment), created_at=moment, key=key, lane=lane or f"slack:{uuid4()}")


def ended(outcome: Outcome, *, ago: timedelta, key: str | None = None, hold: bool = False) -> UUID:
    id_ = accepted(ago=ago, key=key)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, outcome, hold=hold, code="code"))
    finished = Notification.objects.filter(pk=id_, finished_at__isnull=False)
    finished.update(finished_at=timezone.now() - ago)
    return id_


def named(*ids: UUID, key: str, ago: timedelta) -> None:
    """The record of a batch."""
    moment = datetime.now(UTC) - ago
    IdempotencyRecord.objects.create(
        client_id=1,
        operation="POST /api/v1/notifications/batch",
        key=key,
        fingerprint=b"f" * 32,
        status=202,
        location="",
        body=b"{}",
        notification_ids=list(ids),
        created_at=moment,
    )


def purged(**options: Any) -> Step:
    steps = list(purge(key_life=KEY_LIFE, retention=RETENTION, **options))
    return Step(
        records=sum(step.records for step in steps),
        notifications=sum(step.notifications for step in steps),
        attempts=sum(step.attempts for step in steps),
        files=sum(step.files for step in steps),
    )


def ids() -> set[UUID]:
    return set(Notification.objects.values_list("id", flat=True))


def keys() -> set[str]:
    return set(IdempotencyRecord.objects.values_list("key", flat=True))


def test_what_finished_long_ago_goes_with_all_that_belongs_to_it() -> None:
    old = ended(Outcome.ACCEPTED, ago=PAST_RETENTION, key="old")
    receipts.receive(old, attempt=1, provider_id="SM1", progress=Progress.TAKEN)
    replayed = ended(Outcome.PERMANENT, ago=PAST_RETENTION)
    operate.replay([replayed], actor="ada")
    operate.cancel([replayed], actor="ada")
    Notification.objects.filter(pk=replayed).update(finished_at=timezone.now() - PAST_RETENTION)
    young = ended(Outcome.ACCEPTED, ago=timedelta(days=29), key="young")

    assert purged() == Step(records=2, notifications=2, attempts=2)

    assert ids() == {young}
    assert Attempt.objects.count() == 1
    assert (Event.objects.count(), Receipt.objects.count()) == (0, 0)


def test_each_step_is_noted_in_the_ledger() -> None:
    first = ended(Outcome.ACCEPTED, ago=PAST_RETENTION + timedelta(days=1), key="a")
    last = ended(Outcome.PERMANENT, ago=PAST_RETENTION)

    purged()

    noted = Purge.objects.order_by("id").values_list("records", "notifications", "attempts", "first_id", "last_id")
    assert list(noted) == [(1, 0, 0, None, None), (0, 2, 2, first, last)]


def test_a_failed_one_and_its_key_go_in_one_step() -> None:
    """Between two steps it could be replayed, and would be open while a retry with its key finds nothing."""
    id_ = ended(Outcome.PERMANENT, ago=PAST_RETENTION, key="failed")

    purged()

    noted = Purge.objects.values_list("records", "notifications", "attempts", "first_id", "last_id")
    assert list(noted) == [(1, 1, 1, id_, id_)]


def test_all_that_failed_of_a_batch_goes_with_its_key_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "BATCH", 2)
    failed = [ended(Outcome.PERMANENT, ago=PAST_RETENTION) for _ in range(3)]
    sent = ended(Outcome.ACCEPTED, ago=PAST_RETENTION)
    named(*failed, sent, key="batch", ago=PAST_RETENTION)
    for number in range(3):
        ended(Outcome.PERMANENT, ago=PAST_RETENTION, key=f"{number}")

    steps = [(step.records, step.notifications) for step in purge(key_life=KEY_LIFE, retention=RETENTION)]

    assert steps == [(0, 0), (1, 3), (2, 2), (1, 1), (0, 1), (0, 0)]
    assert (ids(), keys()) == (set(), set())


def test_a_batch_whose_key_is_held_by_one_that_failed_lately_stays_whole() -> None:
    long_ago = ended(Outcome.PERMANENT, ago=PAST_RETENTION)
    lately = ended(Outcome.PERMANENT, ago=PAST_KEY_LIFE)
    named(long_ago, lately, key="batch", ago=PAST_RETENTION)

    assert purged() == Step()


def test_a_second_purge_finds_nothing_and_notes_nothing() -> None:
    ended(Outcome.ACCEPTED, ago=PAST_RETENTION, key="old")
    purged()
    Purge.objects.all().delete()

    assert purged() == Step()
    assert not Purge.objects.exists()


def test_more_than_one_batch_goes_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = timezone.now() - PAST_RETENTION
    template = rows.row(ended(Outcome.ACCEPTED, ago=PAST_RETENTION))
    for number in range(sql.BATCH + 3):
        template.id = id_of(moment + timedelta(seconds=number))
        template.save(force_insert=True)

    steps = [step.notifications for step in purge(key_life=KEY_LIFE, retention=RETENTION)]

    assert steps == [sql.BATCH, 4, 0]
    assert Purge.objects.count() == 2


def test_a_key_goes_at_the_end_of_its_life_and_its_notification_stays() -> None:
    id_ = ended(Outcome.ACCEPTED, ago=PAST_KEY_LIFE, key="past its life")
    ended(Outcome.ACCEPTED, ago=timedelta(days=2), key="alive")

    assert purged() == Step(records=1)

    assert keys() == {"alive"}
    assert id_ in ids()


@pytest.mark.parametrize("outcome", [Outcome.RELEASED, Outcome.IN_DOUBT])
def test_the_key_of_an_open_notification_never_goes(outcome: Outcome) -> None:
    ended(outcome, ago=PAST_RETENTION, key="open", hold=True)

    assert purged() == Step()
    assert keys() == {"open"}


def test_the_key_of_one_that_is_being_sent_never_goes() -> None:
    id_ = accepted(ago=PAST_RETENTION, key="sending")
    assert rows.claimed(rows.worker(), lane=rows.row(id_).lane)

    assert purged() == Step()


def test_the_key_of_a_failed_one_stays_while_it_can_be_replayed() -> None:
    id_ = ended(Outcome.PERMANENT, ago=PAST_KEY_LIFE, key="failed")
    assert purged() == Step()

    Notification.objects.filter(pk=id_).update(finished_at=timezone.now() - PAST_RETENTION)

    assert purged().records == 1


def test_the_keys_of_batches_stay_until_all_their_notifications_may_go() -> None:
    old = ended(Outcome.ACCEPTED, ago=PAST_RETENTION)
    still_open = accepted(ago=PAST_RETENTION)
    named(old, still_open, key="batch", ago=PAST_RETENTION)

    assert purged() == Step()
    assert ids() == {old, still_open}

    operate.cancel([still_open], actor="ada")
    Notification.objects.filter(pk=still_open).update(finished_at=timezone.now() - PAST_RETENTION)

    assert purged() == Step(records=1, notifications=2, attempts=1)


def test_a_young_record_keeps_an_old_notification() -> None:
    old = ended(Outcome.ACCEPTED, ago=PAST_RETENTION)
    named(old, key="young", ago=timedelta(days=1))

    assert purged() == Step()


def test_open_notifications_stay_however_old() -> None:
    pending = accepted(ago=timedelta(days=300))
    unknown = ended(Outcome.IN_DOUBT, ago=timedelta(days=300), hold=True)

    assert purged() == Step()
    assert ids() == {pending, unknown}


def test_one_that_was_accepted_long_ago_but_finished_lately_stays() -> None:
    id_ = ended(Outcome.ACCEPTED, ago=PAST_RETENTION)
    Notification.objects.filter(pk=id_).update(finished_at=timezone.now())

    assert purged() == Step()


def test_rows_that_somebody_holds_are_passed_over_and_go_next_time() -> None:
    held = ended(Outcome.ACCEPTED, ago=PAST_RETENTION, key="held")
    ended(Outcome.ACCEPTED, ago=PAST_RETENTION, key="free")
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(Notification.objects.select_for_update().filter(pk=held))
                list(IdempotencyRecord.objects.select_for_update().filter(key="held"))
                holding.set()
                done.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    try:
        assert purged() == Step(records=1, notifications=1, attempts=1)
        assert (ids(), keys()) == ({held}, {"held"})
    finally:
        done.set()
        thread.join(10)

    assert purged() == Step(records=1, notifications=1, attempts=1)


def test_the_books_balance_after_a_purge() -> None:
    for ago in (PAST_RETENTION, PAST_KEY_LIFE, timedelta(hours=1)):
        for outcome in (Outcome.ACCEPTED, Outcome.PERMANENT, Outcome.IN_DOUBT, Outcome.TRANSIENT):
            ended(outcome, ago=ago, key=str(uuid4()), hold=True)
        operate.cancel([accepted(ago=ago, key=str(uuid4()))], actor="ada")

    assert purged().notifications == 2

    assert books.audit(watch=timedelta(seconds=1)).violations == []


def test_counting_deletes_nothing_and_foretells_what_a_purge_does() -> None:
    ended(Outcome.ACCEPTED, ago=PAST_RETENTION, key="a")
    ended(Outcome.ACCEPTED, ago=PAST_KEY_LIFE, key="b")
    open_one = accepted(ago=PAST_RETENTION)
    named(ended(Outcome.PERMANENT, ago=PAST_RETENTION), open_one, key="c", ago=PAST_RETENTION)
    both = [ended(outcome, ago=PAST_RETENTION) for outcome in (Outcome.PERMANENT, Outcome.ACCEPTED)]
    named(*both, key="d", ago=PAST_RETENTION)

    foretold = purged(counting=True)

    assert foretold == Step(records=3, notifications=3, attempts=3)
    assert (Notification.objects.count(), IdempotencyRecord.objects.count(), Purge.objects.count()) == (6, 4, 0)
    assert purged() == foretold


@pytest.mark.parametrize("mode", ["custom", "generic"])
def test_a_purge_of_a_large_table_touches_what_it_deletes(mode: str) -> None:
    history(50_000)
    found = {"key_life": KEY_LIFE, "retention": RETENTION}
    batch = {**found, "newest": UUID(int=2**128 - 1), "referred": [], "after": UUID(int=0)}
    pages = {**found, "first": "(0,0)", "last": "(16,0)"}  # these records are short: three batches
    of_failed = [row for row in sql.run(sql.RECORDS_OF_FAILED, pages) if row[1]]
    together = next(sql._grouped(of_failed))
    assert len(together["failed"]) > 50

    for statement, parameters in [
        (sql.DELETE_NOTIFICATIONS, batch),
        (sql.DELETE_RECORDS, pages),
        (sql.RECORDS_OF_FAILED, pages),
        (sql.DELETE_WITH_FAILED, {**found, **together}),
    ]:
        with transaction.atomic(), connection.cursor() as cursor:
            # As on a disk without heads; and with ten times the rows, as on any other.
            cursor.execute("SET LOCAL random_page_cost = 1.1")
            plan = explained(statement, parameters, mode=mode)

        assert plan.read_whole <= {"receipt", "event", "label", "attachment_link"}, plan  # empty here
        assert plan.rows < 10 * sql.BATCH, plan


def with_file(octets: bytes, *, ago: timedelta) -> UUID:
    """Sent so long ago, and its file was last asked for then."""
    id_ = ended(Outcome.ACCEPTED, ago=ago)
    digest = hashlib.sha256(octets).digest()
    Attachment.objects.update_or_create(digest=digest, defaults={"content": octets, "used_at": timezone.now() - ago})
    AttachmentLink.objects.create(notification_id=id_, digest=digest)
    return id_


def test_files_go_with_the_last_notification_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FILES", 1)
    for octets in (b"a", b"b", b"c"):
        with_file(octets, ago=PAST_RETENTION)
    young = with_file(b"c", ago=timedelta(days=29))

    assert purged(counting=True).files == 0  # all are referred to as yet
    assert purged() == Step(notifications=3, attempts=3, files=2)
    assert ids() == {young}
    assert [bytes(file.content) for file in Attachment.objects.all()] == [b"c"]
    assert list(AttachmentLink.objects.values_list("notification_id", flat=True)) == [young]


@pytest.mark.parametrize("mode", ["custom", "generic"])
def test_a_purge_of_many_files_touches_what_it_looks_at(mode: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO attachment (digest, content, used_at)"
            " SELECT sha256(n::text::bytea), 'x', now() - interval '2 days' FROM generate_series(1, 20000) AS n"
        )
        cursor.execute(
            "INSERT INTO attachment_link (notification_id, digest)"
            " SELECT gen_random_uuid(), sha256((n / 2)::text::bytea) FROM generate_series(1, 30000) AS n"
        )
        cursor.execute("ANALYZE attachment, attachment_link")

    plan = explained(sql.DELETE_FILES, {"after": b"\x80", "unused": UNUSED_FOR}, mode=mode)

    assert not plan.read_whole, plan
    assert plan.rows <= 5 * sql.FILES, plan
    assert plan.pages <= 25 * sql.FILES, plan


def test_a_failed_one_that_goes_with_its_key_takes_its_links_along() -> None:
    id_ = ended(Outcome.PERMANENT, ago=PAST_RETENTION, key="failed")
    AttachmentLink.objects.create(notification_id=id_, digest=b"d" * 32)

    purged()

    assert not AttachmentLink.objects.exists()


def test_the_command_tells_of_files(settings: pytest_django.Settings) -> None:
    settings.RETENTION_DAYS = 30
    with_file(b"a", ago=PAST_RETENTION)

    assert run().endswith("with their 1 attempts, and 1 files.\n")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("purge_notifications", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_goes_by_the_settings(settings: pytest_django.Settings) -> None:
    settings.IDEMPOTENCY_KEY_TTL = timedelta(hours=24)
    settings.RETENTION_DAYS = 2
    ended(Outcome.ACCEPTED, ago=timedelta(days=3), key="a")
    young = ended(Outcome.ACCEPTED, ago=timedelta(hours=25), key="b")

    assert run("--dry-run").startswith("Would delete 2 idempotency keys older than 24 hours, and 1 notifications")
    assert (Notification.objects.count(), Operation.objects.count()) == (2, 0)
    assert run().startswith("Deleted 2 idempotency keys")
    assert ids() == {young}


def test_the_commands_act_is_kept_with_who_did_it(settings: pytest_django.Settings) -> None:
    settings.RETENTION_DAYS, settings.REDACT_AFTER_DAYS = 30, 20
    ended(Outcome.ACCEPTED, ago=PAST_RETENTION)
    ended(Outcome.ACCEPTED, ago=timedelta(days=25))

    run("--actor", "ada")

    kept = Operation.objects.get()
    assert (kept.act, kept.actor, kept.via, kept.state, kept.touched) == ("purge", "ada", "command", "done", 2)
    assert kept.subject == "deleted 1 notifications, 1 attempts; redacted 1 notifications"
