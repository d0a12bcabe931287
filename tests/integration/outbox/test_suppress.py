"""Who is on the suppression list, and what the outbox does with what is for them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from channels.registry import MARK
from notifications.holdings import Holdings
from notifications.models import Event, Notification, Suppression
from notifications.outbox import listing, suppress
from notifications.outbox.operate import replay
from notifications.outbox.purge import purge
from notifications.outbox.suppress import Suppressed
from notifications.outbox.suppressed import SUPPRESSED, is_suppressed
from notifications.recorder import Ledger, Recorder
from notifications.retry import Decision
from notifications.states import Event as Edge
from notifications.states import Outcome, Reason, Status
from tests.eventually import eventually
from tests.integration.outbox import rows
from tests.integration.outbox.second import somebody_waits_for_us

pytestmark = pytest.mark.django_db(transaction=True)


def one(channel: str = "slack", recipient: str = "ops", *, test: bool = False, **fields: object) -> Suppressed:
    given = {"reason": Reason.OPT_OUT, "created_by": "twilio_sms", **fields}
    return Suppressed(channel=channel, recipient=recipient, test=test, **given)  # type: ignore[arg-type]


def reasons(*, lane: str = "slack:ops") -> list[str | None]:
    return [claim.suppressed for claim in rows.claimed(rows.worker(), lane=lane)]


def failed(**fields: object) -> UUID:
    id_ = rows.accepted(**fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT, code="no_text"))
    return id_


def test_who_is_put_on_the_list_is_there_once_with_all_that_is_known() -> None:
    id_ = uuid4()
    first = one(detail="no more, please", source="21610", notification_id=id_)

    assert suppress.add([first, one(recipient="dev")]) == {"slack:ops", "slack:dev"}
    assert suppress.add([one(reason=Reason.MANUAL, created_by="ada")]) == set()
    row = Suppression.objects.get(recipient="ops")
    assert (row.channel, row.test, row.address, row.reason, row.detail) == (
        *("slack", False, "slack:ops", "opt_out", "no more, please"),
    )
    assert (row.source, row.notification_id, row.created_by) == ("21610", id_, "twilio_sms")


def test_one_that_is_named_twice_at_once_is_there_once() -> None:
    assert suppress.add([one(), one()]) == {"slack:ops"}


def test_a_providers_words_that_cannot_be_stored_are_mended() -> None:
    suppress.add([one(detail="no\x00\ud800", source="1" * 5000)])

    row = Suppression.objects.get()
    assert row.detail == "no�?"
    assert len(row.source) == 1000


def test_who_is_taken_from_it_is_free_and_the_others_are_not() -> None:
    suppress.add([one(), one(recipient="dev")])

    assert suppress.remove(["slack:ops", "slack:nobody"]) == {"slack:ops"}
    assert suppress.remove(["slack:ops"]) == set()
    assert [row.recipient for row in Suppression.objects.all()] == ["dev"]


@pytest.mark.parametrize("test", [False, True])
def test_python_and_the_database_write_an_address_alike(test: bool) -> None:
    suppress.add([one("email", "Ünal@x.example", test=test)])

    assert Suppression.objects.get().address == suppress.address("email", "Ünal@x.example", test=test)


def test_a_claim_says_why_nothing_is_sent_to_a_recipient() -> None:
    rows.accepted()
    rows.accepted(recipient="dev")
    suppress.add([one(reason=Reason.HARD_BOUNCE), one("sms", "dev")])

    assert reasons() == ["hard_bounce", None]


@pytest.mark.parametrize("lane", ["sms", "email", "slack:ops", "slack:dev:eu", f"{MARK}sms", f"{MARK}slack:ops"])
def test_a_claim_of_any_lane_finds_those_of_its_channel(lane: str) -> None:
    channel, test = lane.removeprefix(MARK).partition(":")[0], lane.startswith(MARK)
    rows.accepted(lane=lane, channel=channel, recipient="me")
    suppress.add(
        [one(channel, "me", test=test), one(f"{channel}s", "me", test=test), one(channel, "me", test=not test)]
    )

    assert reasons(lane=lane) == ["opt_out"]


def test_with_an_empty_list_a_claim_says_nothing() -> None:
    rows.accepted()

    assert reasons() == [None]


@pytest.mark.parametrize(("test", "said"), [(False, [None, "opt_out"]), (True, ["opt_out", None])])
def test_tests_and_live_ones_are_suppressed_apart(test: bool, said: list[str | None]) -> None:
    for lane in (f"{MARK}slack:ops", "slack:ops"):
        rows.accepted(lane=lane, channel="slack")
    suppress.add([one(test=test)])

    assert reasons(lane=f"{MARK}slack:ops") + reasons() == said


def test_one_that_comes_on_the_list_between_accept_and_claim_is_stopped_by_the_claim() -> None:
    rows.accepted()
    suppress.add([one()])
    rows.accepted(recipient="dev")

    assert reasons() == ["opt_out", None]


def test_what_a_suppressed_claim_ends_in_is_failed_and_not_sent() -> None:
    id_ = rows.accepted()
    (claim,) = rows.claimed(rows.worker())
    ended = rows.result(
        claim, Outcome.RELEASED, code="suppressed", decision=Decision(Edge.SUPPRESS, Status.FAILED), detail="why"
    )
    rows.recorded(ended)

    row = rows.row(id_)
    assert (row.status, row.error_code, row.tries) == ("failed", "suppressed", 0)
    assert rows.outcomes(id_) == [(1, "released", "", False)]


def test_the_recipient_is_on_the_list_before_the_result_is_written() -> None:
    rows.accepted()
    (claim,) = rows.claimed(rows.worker())
    recorder = Recorder(Holdings(), threading.Event(), Ledger(reported=False), lane="sms", claimed=monotonic())

    def write() -> None:
        recorder.suppress(one())
        recorder.add(rows.result(claim, Outcome.PERMANENT, code="21610"))
        recorder.flush()
        connection.close()

    with transaction.atomic():
        Notification.objects.select_for_update().get(pk=claim.id)  # which the result has to wait for
        writing = threading.Thread(target=write)
        writing.start()
        eventually(somebody_waits_for_us, what="the result waits")
        on_the_list = Suppression.objects.exists()
        status = rows.row(claim.id).status
    writing.join(10)

    assert (on_the_list, status) == (True, "sending")
    assert rows.row(claim.id).status == "failed"


def test_a_suppressed_one_is_not_replayed_until_it_is_let_through() -> None:
    id_, other = failed(), failed(recipient="dev", lane="slack:dev")
    suppress.add([one()])

    assert replay([id_, other], actor="ada").keys() == {other}
    assert Event.objects.filter(notification_id=id_).count() == 0
    suppress.remove(["slack:ops"])
    assert replay([id_], actor="ada").keys() == {id_}


def test_the_orm_finds_the_same_ones_as_the_statements() -> None:
    suppressed = failed()
    test = failed(lane=f"{MARK}slack:ops", channel="slack")
    failed(recipient="dev")
    suppress.add([one()])
    found = Notification.objects.filter(SUPPRESSED)

    assert [row.id for row in found] == [suppressed]
    assert [is_suppressed(rows.row(id_)) for id_ in (suppressed, test)] == [True, False]
    suppress.add([one(test=True)])
    assert {row.id for row in found.all()} == {suppressed, test}


def test_the_list_outlives_what_caused_it() -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    id_ = failed(id=listing.first_id(long_ago))
    suppress.add([one(notification_id=id_)])
    Notification.objects.update(created_at=long_ago, finished_at=long_ago)
    for _ in purge(key_life=timedelta(hours=72), retention=timedelta(days=90)):
        pass

    assert not Notification.objects.exists()
    assert Suppression.objects.get().notification_id == id_
