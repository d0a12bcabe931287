"""What operators ask for of many is done by the relays: all of it, once, whoever dies or stops on the way."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.test import Client as Browser
from django.utils import timezone

from notifications import operations, services
from notifications.models import Attempt, Event, Notification, Operation
from notifications.selection import Selection
from notifications.states import Outcome, Status
from notifications.timeline import timeline
from tests.integration.outbox import rows
from tests.integration.outbox.second import Second
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("slack")]

FAILED = Selection(statuses=frozenset({Status.FAILED}))


def failed(**fields: object) -> UUID:
    id_ = rows.accepted(**fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    return id_


def asked(act: str = "resend", selection: Selection = FAILED) -> Operation:
    return services.ask(act, selection, actor="ada", via=Operation.Via.ADMIN, chosen=0, subject="these")


def statuses() -> set[str]:
    return set(Notification.objects.values_list("status", flat=True))


def until_done() -> int:
    steps = 0
    while operations.step():
        steps += 1
    return steps


def test_all_that_match_are_done_in_batches_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BATCH", 3)
    wanted = {failed() for _ in range(8)}
    operation = asked()
    later = failed()  # accepted after it was asked for

    assert until_done() == 3

    operation.refresh_from_db()
    assert (operation.state, operation.touched, operation.left_alone) == (Operation.State.DONE, 8, 0)
    assert operation.finished_at is not None
    assert set(Event.objects.filter(kind="replayed", actor="ada").values_list("notification_id", flat=True)) == wanted
    assert rows.row(later).status == Status.FAILED


def test_what_fails_again_meanwhile_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BATCH", 1)
    first, _ = failed(), failed()
    operation = asked()
    assert operations.step()
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(first).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT))

    until_done()

    operation.refresh_from_db()
    assert operation.touched == 2
    assert Event.objects.filter(kind="replayed").count() == 2
    assert rows.row(first).status == Status.FAILED


def test_a_batch_that_ends_with_its_worker_is_done_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    wanted = {failed() for _ in range(4)}
    operation = asked()
    with transaction.atomic():
        assert operations.step()
        transaction.set_rollback(True)  # as when the connection ends before the commit

    operation.refresh_from_db()
    assert (operation.state, operation.touched) == (Operation.State.ASKED, 0)
    until_done()
    operation.refresh_from_db()
    assert (operation.state, operation.touched) == (Operation.State.DONE, 4)
    assert Event.objects.filter(kind="replayed").count() == len(wanted)


def test_what_another_relay_has_in_hands_is_passed_over(second: Second) -> None:
    failed()
    asked()
    with transaction.atomic():
        list(Operation.objects.select_for_update())

        assert second.run(operations.step) is None

    assert operations.step()


def test_a_stopped_one_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    for _ in range(5):
        failed()
    operation = asked()
    assert operations.step()

    assert services.stop_operation(operation.pk, actor="ada")
    assert not services.stop_operation(operation.pk, actor="ada")
    assert not operations.step()
    assert Notification.objects.filter(status=Status.PENDING).count() == 2

    assert services.resume_operation(operation.pk, actor="ada")
    until_done()
    operation.refresh_from_db()
    assert (operation.state, operation.touched) == (Operation.State.DONE, 5)


def test_a_cancel_takes_what_can_be_canceled_and_no_more() -> None:
    failed()
    rows.accepted()
    operation = asked("cancel", Selection())

    until_done()

    operation.refresh_from_db()
    assert statuses() == {Status.CANCELED}
    assert operation.touched == 2


def test_a_selection_whose_statuses_the_act_never_touches_ends_at_once() -> None:
    rows.accepted()
    operation = asked("resend", Selection(statuses=frozenset({Status.PENDING})))

    until_done()

    operation.refresh_from_db()
    assert (operation.state, operation.touched) == (Operation.State.DONE, 0)


def test_what_is_not_understood_stops_and_stands_before_no_other() -> None:
    failed()
    unknown = Operation.objects.create(act="fold", selection={}, actor="ada", via="admin", state="asked", subject="x")
    known = asked()

    until_done()

    unknown.refresh_from_db()
    known.refresh_from_db()
    assert (unknown.state, known.state) == (Operation.State.STOPPED, Operation.State.DONE)


def test_what_a_command_does_itself_is_left_to_it() -> None:
    failed()
    services.ask("resend", FAILED, actor="ada", via=Operation.Via.COMMAND, chosen=1, subject="these")

    assert not operations.step()


def test_a_form_that_is_sent_twice_at_once_asks_once(second: Second) -> None:
    form = uuid4()

    def ask() -> int:
        return services.ask(
            "resend", FAILED, actor="ada", via=Operation.Via.ADMIN, chosen=0, subject="these", form=form
        ).pk

    with second.overtaken_by(ask) as later:
        first = ask()

    assert later.result() == first
    assert Operation.objects.count() == 1


def test_a_commands_replay_whose_terminal_is_gone_is_stopped_and_resumed_by_nobody_else() -> None:
    failed()
    left = services.ask("resend", FAILED, actor="ada", via=Operation.Via.COMMAND, chosen=1, subject="these")

    assert services.stop_operation(left.pk, actor="bob")
    assert not services.resume_operation(left.pk, actor="bob")
    assert not operations.step(left.pk)


def test_of_two_who_go_on_with_a_replay_at_once_both_are_kept() -> None:
    left = services.ask("resend", FAILED, actor="ada", via=Operation.Via.COMMAND, chosen=1, subject="these")
    seen_by_each = [Operation.objects.get(pk=left.pk) for _ in range(2)]

    for seen, who in zip(seen_by_each, ("bob", "eve"), strict=True):
        services.go_on_with(seen, actor=who)

    left.refresh_from_db()
    assert re.fullmatch(r"gone on with by bob at .* UTC; gone on with by eve at .* UTC", left.detail)


# --- release ---------------------------------------------------------------------------------------------


def test_a_claim_that_was_not_begun_is_pending_again_when_it_is_released() -> None:
    id_ = rows.accepted()
    rows.claimed(rows.worker(), started=False)

    assert services.release([id_], actor="ada", detail="admin") == {id_}

    assert rows.row(id_).status == Status.PENDING
    assert [event.actor for event in Event.objects.filter(notification_id=id_, kind="released")] == ["ada"]
    assert Attempt.objects.get(notification_id=id_).outcome == Outcome.RELEASED


def test_one_that_was_begun_may_have_been_sent() -> None:
    id_ = rows.accepted()
    (claim,) = rows.claimed(rows.worker())

    assert services.release([id_], actor="ada") == {id_}

    assert rows.row(id_).status == Status.PENDING
    assert rows.row(id_).possible_duplicate
    assert Attempt.objects.get(notification_id=id_).outcome == Outcome.LOST
    # One truth: an operator took it back; no relay has found its worker dead.
    assert [(event.kind, event.actor) for event in Event.objects.filter(notification_id=id_)] == [("released", "ada")]
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    assert rows.row(id_).status == Status.PENDING  # what the worker says comes too late


def test_the_wait_after_a_release_is_not_laid_to_a_death() -> None:
    id_ = rows.accepted()
    rows.claimed(rows.worker())
    services.release([id_], actor="ada")
    Notification.objects.filter(pk=id_).update(due_at=timezone.now() + timedelta(minutes=1))

    told = timeline(rows.row(id_))

    assert [(entry.event, entry.by) for entry in told if entry.by == "ada"] == [("released", "ada")]
    assert [entry.detail for entry in told if entry.event == "attempt"] == ["taken back by an operator"]
    assert told[-1].detail == "to try again, having been taken back from its worker"
    assert not [entry for entry in told if "died" in entry.detail]


def test_nothing_else_is_released() -> None:
    done, pending = failed(), rows.accepted()

    assert services.release([pending, done], actor="ada") == set()
    assert not Event.objects.filter(kind="released").exists()


# --- in the admin ----------------------------------------------------------------------------------------


def test_an_operation_is_stopped_and_resumed_on_its_page(browser: Browser) -> None:
    operation = asked()
    page = f"/admin/notifications/operation/{operation.pk}/"
    assert f"{page}stop/" in browser.get(f"{page}change/").content.decode()

    browser.post(f"{page}stop/")
    operation.refresh_from_db()
    assert operation.state == Operation.State.STOPPED
    assert f"{page}resume/" in browser.get(f"{page}change/").content.decode()

    browser.post(f"{page}resume/")
    operation.refresh_from_db()
    assert operation.state == Operation.State.ASKED


def test_who_may_only_look_stops_nothing() -> None:
    operation = asked()
    looking = only_looking()

    assert looking.post(f"/admin/notifications/operation/{operation.pk}/stop/").status_code == 403
    operation.refresh_from_db()
    assert operation.state == Operation.State.ASKED
    assert "stop/" not in looking.get(f"/admin/notifications/operation/{operation.pk}/change/").content.decode()
