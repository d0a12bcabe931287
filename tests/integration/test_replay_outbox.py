"""What an operator replays: exactly what was selected and confirmed, once, with a name to it."""

from __future__ import annotations

import getpass
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from notifications import operations, replay, services
from notifications.models import Client, Event, Notification, Operation
from notifications.outbox import suppress
from notifications.outbox.listing import first_id
from notifications.outbox.suppress import Suppressed
from notifications.selection import Selection
from notifications.states import Outcome, Reason, Status
from notifications.walking import walk
from tests.eventually import eventually
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)


def failed(channel: str = "slack", *, code: str = "no_text", ago: timedelta = timedelta(0), **fields: Any) -> UUID:
    id_ = rows.accepted(lane=f"{channel}:{uuid4()}", **fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT, code=code))
    Notification.objects.filter(pk=id_).update(created_at=timezone.now() - ago)
    return id_


def unknown(channel: str = "sms") -> UUID:
    id_ = rows.accepted(lane=f"{channel}:{uuid4()}")
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.IN_DOUBT, hold=True, code="timeout"))
    return id_


def expire(id_: UUID) -> UUID:
    Notification.objects.filter(pk=id_).update(expires_at=timezone.now() - timedelta(seconds=1))
    return id_


def pending() -> set[UUID]:
    return set(Notification.objects.filter(status="pending").values_list("id", flat=True))


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replay_outbox", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as stopped:
        run(*arguments)
    return stopped.value


def test_failed_ones_are_replayed_and_the_rest_is_left_alone() -> None:
    first, second = failed(), failed("sms", code="21211")
    unknown()
    sent = rows.accepted(lane="slack:x")
    (claim,) = rows.claimed(rows.worker(), lane="slack:x")
    rows.recorded(rows.result(claim, Outcome.ACCEPTED))

    lines = run("--yes").splitlines()

    assert pending() == {first, second}
    assert rows.row(sent).status == "sent"
    assert [line.split() for line in lines] == [
        ["channel", "status", "error", "code", "count", "expired", "suppressed"],
        ["slack", "failed", "no_text", "1", "0", "0"],
        ["sms", "failed", "21211", "1", "0", "0"],
        ["Replayed", "2", "of", "2", "notifications."],
        *[line.split() for line in lines[-1:]],
    ]
    assert re.fullmatch(r"It took \d+\.\d s, \d+ a second\. Its number in the admin's operations is \d+\.", lines[-1])


def test_each_replay_is_noted_with_who_did_it() -> None:
    id_ = failed()

    run("--yes", "--actor", "Ada Lovelace")

    event = Event.objects.get(notification_id=id_)
    assert (event.kind, event.actor, event.detail) == ("replayed", "Ada Lovelace", "manage.py replay_outbox")


def test_the_actor_is_the_user_of_this_machine_unless_named() -> None:
    failed()
    run("--yes")
    assert Event.objects.get().actor == getpass.getuser()


def test_unknown_ones_are_replayed_only_where_asked_and_said_to_double() -> None:
    id_ = unknown()
    failed()

    answer = run("--status", "unknown", "--yes")

    assert pending() == {id_}
    assert rows.row(id_).possible_duplicate
    assert "1 may have been sent already (sms): their recipients may get them twice." in answer


def test_a_failed_one_with_an_attempt_in_doubt_is_said_to_double_too() -> None:
    Notification.objects.filter(pk=failed()).update(possible_duplicate=True)

    assert "1 may have been sent already (slack)" in run("--dry-run")


def test_status_and_channel_may_be_repeated() -> None:
    wanted = {failed("slack"), unknown("sms")}
    failed("email")

    run("--status", "failed", "--status", "unknown", "--channel", "slack", "--channel", "sms", "--yes")

    assert pending() == wanted


def test_since_is_included_and_until_is_not() -> None:
    moment = datetime.now(UTC) - timedelta(days=2)
    before, at, after = failed(), failed(), failed()
    for id_, created_at in ((before, moment - timedelta(hours=1)), (at, moment), (after, moment + timedelta(hours=1))):
        moved = UUID(int=first_id(created_at).int | id_.int & 2**80 - 1)
        Notification.objects.filter(pk=id_).update(created_at=created_at, id=moved)
    at = UUID(int=first_id(moment).int | at.int & 2**80 - 1)
    until = moment + timedelta(hours=1)

    run("--since", moment.isoformat(), "--until", until.isoformat(), "--yes")

    assert pending() == {at}


def test_a_time_with_an_offset_is_understood() -> None:
    id_ = failed(ago=timedelta(hours=2))
    failed(ago=timedelta(hours=4))
    elsewhere = (datetime.now(UTC) - timedelta(hours=3)).astimezone(timezone.get_fixed_timezone(-300))

    run("--since", elsewhere.isoformat(), "--yes")

    assert pending() == {id_}


def test_a_time_without_an_offset_is_utc_and_said_to_be() -> None:
    id_ = failed(ago=timedelta(hours=2))
    failed(ago=timedelta(hours=4))
    naive = (datetime.now(UTC) - timedelta(hours=3)).replace(tzinfo=None, microsecond=0)

    answer = run("--since", naive.isoformat(), "--yes")

    assert answer.startswith(f"Accepted since {naive:%Y-%m-%d %H:%M:%S} UTC:\n")
    assert pending() == {id_}


def test_ids_select_and_say_what_does_not_match() -> None:
    wanted, other = failed(), failed()
    sent = uuid4()

    answer = run("--id", str(wanted), "--id", str(sent), "--yes")

    assert pending() == {wanted}
    assert rows.row(other).status == "failed"
    assert "1 of the 2 ids given do not match and are left alone." in answer


def test_ids_and_other_options_narrow_each_other() -> None:
    slack, sms = failed("slack"), failed("sms")

    run("--id", str(slack), "--id", str(sms), "--channel", "sms", "--yes")

    assert pending() == {sms}


def test_expired_ones_are_counted_and_left_alone() -> None:
    id_ = failed()
    expired = expire(failed())

    answer = run("--yes")

    assert "1 have expired and are left alone." in answer
    assert "\nReplayed 1 of 1 notifications.\n" in answer
    assert (rows.row(id_).status, rows.row(expired).status) == ("pending", "failed")


def test_redacted_ones_are_counted_and_left_alone() -> None:
    id_, redacted = failed(), failed()
    Notification.objects.filter(pk=redacted).update(redacted_at=timezone.now())

    answer = run("--yes")

    assert pending() == {id_}
    assert "1 have been redacted and are left alone." in answer
    assert "Replayed 1 of 1" in answer


def test_those_with_a_suppressed_recipient_are_counted_apart_and_left_alone() -> None:
    id_, suppressed, both = failed(), failed(recipient="gone"), expire(failed(recipient="gone"))
    suppress.add([Suppressed(channel="slack", recipient="gone", test=False, reason=Reason.MANUAL, created_by="ada")])

    for answer in (run("--dry-run"), run("--yes")):
        assert "1 have expired and are left alone.\n1 have a suppressed recipient and are left alone.\n" in answer
        assert [line.split()[-3:] for line in answer.splitlines()[:2]] == [
            ["count", "expired", "suppressed"],
            ["3", "1", "1"],
        ]
    assert "\nReplayed 1 of 1 notifications.\n" in answer
    assert [rows.row(each).status for each in (id_, suppressed, both)] == ["pending", "failed", "failed"]


def test_a_dry_run_counts_and_changes_nothing() -> None:
    failed()

    answer = run("--dry-run")

    assert answer.endswith("Dry run: nothing was changed.\n")
    assert pending() == set()


def test_many_go_in_batches_each_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "BATCH", 3)
    wanted = {failed(channel) for channel in ("slack", "sms") for _ in range(4)}

    answer = run("--yes")

    assert pending() == wanted
    assert Event.objects.count() == 8
    assert "\nReplayed 8 of 8 notifications.\n" in answer


def test_what_fails_again_while_it_runs_is_not_replayed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = failed()
    last = failed()
    monkeypatch.setattr(operations, "BATCH", 1)
    selection = Selection(statuses=frozenset({Status.FAILED}))
    interrupted = services.ask("resend", selection, actor="ada", via=Operation.Via.COMMAND, chosen=2, subject="all")
    assert operations.step(interrupted.pk)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, Outcome.PERMANENT))
    failed()  # accepted since the replay was confirmed

    answer = run("--resume", "--yes")

    assert pending() == {last}
    assert "was interrupted after 1 of 2" in answer
    assert "Replayed 2 of 2 notifications." in answer


def test_a_dry_run_says_to_whom_and_what_was_answered() -> None:
    failed("email", recipient="ann@Shop.example", code="5.1.1")
    failed("email", recipient="bob@shop.example", code="5.1.1")
    failed("sms", recipient="+14155552671", code="21211")

    answer = run("--dry-run")

    lines = [line.split() for line in answer.splitlines()]
    assert ["email", "shop.example", "2"] in lines
    assert ["sms", "+1", "1"] in lines
    assert "a•••@Shop.example" in answer
    assert "+1415•••••71" in answer
    assert "ann@" not in answer
    assert "4155552671" not in answer
    assert not Operation.objects.exists()


def test_only_those_of_a_code_or_a_client_are_replayed() -> None:
    wanted, other = failed(code="no_text"), failed(code="invalid_payload")

    run("--error-code", "no_text", "--yes")

    assert pending() == {wanted}
    Client.objects.create(id=1, name="shop")
    Client.objects.create(id=2, name="bank")
    assert refused("--client", "bank", "--yes").returncode == 1
    run("--client", "shop", "--yes")
    assert pending() == {wanted, other}
    assert "bakery" in str(refused("--client", "bakery", "--yes"))


def test_who_replayed_what_is_kept() -> None:
    failed()

    run("--channel", "slack", "--yes", "--actor", "Ada")

    kept = Operation.objects.get()
    assert (kept.act, kept.actor, kept.via, kept.state) == ("resend", "Ada", "command", "done")
    assert (kept.subject, kept.chosen, kept.touched, kept.left_alone) == ("--channel slack", 1, 1, 0)


@pytest.mark.parametrize("arguments", [["--resume"], ["--resume", "4711"]])
def test_there_may_be_nothing_to_go_on_with(arguments: list[str]) -> None:
    failed()
    run("--yes")

    assert refused(*arguments, "--yes").returncode == 1


def test_going_on_takes_no_other_selection() -> None:
    error = refused("--resume", "--channel", "slack", "--yes")

    assert error.returncode == 2
    assert "leave out --channel" in str(error)


def test_two_at_once_double_nothing() -> None:
    wanted = {failed() for _ in range(60)}
    statuses: list[int] = []

    def one() -> None:
        try:
            run("--yes", "--rate", "400")
            statuses.append(0)
        except CommandError as nothing_left:  # it began when the other had ended
            statuses.append(nothing_left.returncode)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(statuses) in ([0, 0], [0, 1])
    assert pending() == wanted
    assert Event.objects.count() == 60


def test_the_rate_is_kept() -> None:
    for _ in range(9):
        failed()

    began = monotonic()
    run("--yes", "--rate", "4")

    assert monotonic() - began >= 2.0  # one at once, and one each quarter of a second


def test_it_is_never_more_than_a_tenth_of_a_second_ahead_of_its_rate() -> None:
    for _ in range(60):
        failed()

    run("--yes", "--rate", "50")

    # By the database's clock: every batch is a transaction, which has one time.
    times = list(Event.objects.order_by("at").values_list("at", flat=True))
    for number, at in enumerate(times):
        elapsed = (at - times[0]).total_seconds()
        assert number + 1 <= 50 * elapsed + 5 + 1, (number, elapsed)  # 5 are a batch, 1 for what a clock rounds


# --- what became of them ---------------------------------------------------------------------------------


def test_whoever_waits_is_told_what_became_of_them() -> None:
    good, bad, doubtful = failed(), failed(), failed("sms")

    def send() -> None:
        eventually(lambda: len(pending()) == 3, what="all are replayed")
        for id_, outcome in ((good, Outcome.ACCEPTED), (bad, Outcome.PERMANENT), (doubtful, Outcome.IN_DOUBT)):
            (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
            rows.recorded(rows.result(claim, outcome, hold=True, code="" if id_ == good else "again"))
        connection.close()

    worker = threading.Thread(target=send)
    worker.start()
    error = refused("--yes", "--wait")
    worker.join()

    assert error.returncode == 4
    assert str(error) == "Of these: 1 sent, 1 failed (again: 1), 1 unknown (again: 1)."


def test_all_that_were_sent_is_well() -> None:
    id_ = failed()

    def send() -> None:
        eventually(pending, what="it is replayed")
        (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
        rows.recorded(rows.result(claim, Outcome.ACCEPTED))
        connection.close()

    worker = threading.Thread(target=send)
    worker.start()
    answer = run("--yes", "--wait", "30")
    worker.join()

    assert answer.endswith("Of these: 1 sent.\n")


def test_whoever_does_not_wait_for_ever_is_told_what_still_waits() -> None:
    failed()

    error = refused("--yes", "--wait", "0")

    assert (error.returncode, str(error)) == (4, "Of these: 1 still waiting.")
    assert len(pending()) == 1


def test_whoever_goes_on_and_waits_is_told_of_what_this_run_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    failed(), failed(), failed()
    monkeypatch.setattr(operations, "BATCH", 1)
    selection = Selection(statuses=frozenset({Status.FAILED}))
    interrupted = services.ask("resend", selection, actor="ada", via=Operation.Via.COMMAND, chosen=3, subject="all")
    assert operations.step(interrupted.pk)

    error = refused("--resume", "--yes", "--wait", "0")

    assert str(error) == "Of the 2 that were replayed by this run: 2 still waiting."


def test_nothing_that_matches_is_said_by_the_exit_status() -> None:
    expire(failed())

    error = refused("--yes")

    assert (str(error), error.returncode) == ("Nothing to replay.", 1)


def test_without_a_terminal_it_does_not_ask_and_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    failed()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    error = refused()

    assert error.returncode == 2
    assert "--yes" in str(error)
    assert pending() == set()


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a terminal at which somebody types; the other is the command's standard input."""
    typing, terminal = os.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typing
    os.close(typing)


@pytest.mark.parametrize("word", ["y", "Yes"])
def test_a_yes_on_a_terminal_replays(keyboard: int, word: str) -> None:
    id_ = failed()
    os.write(keyboard, f"{word}\n".encode())

    assert "Replay 1 notifications? [y/N] " in run()
    assert pending() == {id_}


@pytest.mark.parametrize("word", ["n", "", "yesterday"])
def test_anything_else_on_a_terminal_does_not(keyboard: int, word: str) -> None:
    failed()
    os.write(keyboard, f"{word}\n".encode())

    error = refused()

    assert (str(error), error.returncode) == ("Nothing was replayed.", 1)
    assert pending() == set()


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_ends_it_and_says_how_far_it_came() -> None:
    for _ in range(5):
        failed()

    def press() -> None:
        until = monotonic() + 30
        while not pending() and monotonic() < until:
            sleep(0.01)
        connection.close()
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    error = refused("--yes", "--rate", "0.1")  # the second one would come ten seconds later
    finger.join()

    assert error.returncode == 130
    number = Operation.objects.get().pk
    onward = f"`--resume {number}` goes on behind the last of them."
    assert str(error) == f"Interrupted. Replayed 1 of 5 notifications. {onward}"
    assert len(pending()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--status", "sent"], ["--status", "failed", "unknown"]),
        (["--channel", "pigeon"], ["--channel", "pigeon", "slack"]),
        (["--since", "yesterday"], ["--since", "yesterday", "ISO 8601"]),
        (["--until", "2030-13-01"], ["--until", "2030-13-01"]),
        (["--since", "0001-01-01T00:00+14:00"], ["--since"]),
        (["--since", "2030-01-02", "--until", "2030-01-01"], ["--since", "--until"]),
        (["--id", "42"], ["--id", "42"]),
        (["--rate", "0"], ["--rate", "0.01"]),
        (["--rate", "fast"], ["--rate", "fast"]),
        (["--rate", "nan"], ["--rate"]),
        (["--wait", "nan"], ["--wait"]),
        (["--wait", "long"], ["--wait", "long"]),
        (["--actor", " "], ["--actor"]),
        (["--actor", "a\nb"], ["--actor"]),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], words: list[str]) -> None:
    id_ = failed()

    error = refused("--yes", *arguments)

    assert [word for word in words if word not in str(error)] == []
    assert rows.row(id_).status == "failed"


def test_a_channel_that_the_settings_no_longer_know_can_be_named() -> None:
    id_ = failed("pigeon")

    run("--channel", "pigeon", "--yes")

    assert pending() == {id_}


def test_a_large_table_is_read_by_the_attention_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
                due_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code,
                correlation_id, idempotency_key, created_at, finished_at)
            SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'slack', 'slack:ops', 'ops', '', 'hello', '{}', 1, now(),
                CASE n % 100 WHEN 0 THEN 'failed' ELSE 'sent' END, 1, 0, 0, false, '', '', '', '', now(), now()
            FROM generate_series(1, 20000) AS n
            """
        )
        cursor.execute("ANALYZE notification")
    selection = Selection(statuses=frozenset({Status.FAILED}))
    (walked,) = replay._selected(selection)
    plans = [
        walked.filter(id__gt=UUID(int=5)).order_by("id")[:500].explain(),
        Notification.objects.filter(status__in=replay.REPLAYABLE).order_by("channel")[:1].explain(),
    ]

    assert [plan for plan in plans if "notification_attention" not in plan or "Seq Scan" in plan] == []
    assert len(walk(selection, size=500, newest=False).ids) == 200
