"""`manage.py purge_notifications` redacts by age, and, with --recipient, what went to somebody who asks for it."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_django
from django.core.management import CommandError, call_command
from django.utils import timezone
from structlog.testing import capture_logs

from notifications.management import forgetting
from notifications.models import Notification, Operation
from tests.factories import NotificationFactory

pytestmark = pytest.mark.django_db(transaction=True)

ZOE = "zoe@example.com"
NUMBER = "+14155550123"


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("purge_notifications", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as stopped:
        run(*arguments)
    return stopped.value.returncode, str(stopped.value)


def mail(status: str = "sent", **fields: object) -> UUID:
    return NotificationFactory(
        **{"channel": "email", "lane": "email", "recipient": ZOE, "body": "Dear Zoe", "status": status, **fields}
    ).id


def redacted() -> set[UUID]:
    return set(Notification.objects.filter(redacted_at__isnull=False).values_list("id", flat=True))


def test_what_finished_long_ago_is_redacted_where_the_settings_say_so(settings: pytest_django.Settings) -> None:
    settings.REDACT_AFTER_DAYS = 10
    long_ago, lately = mail(), mail()
    moment = timezone.now() - timedelta(days=11)
    Notification.objects.filter(pk=long_ago).update(finished_at=moment, created_at=moment)
    Notification.objects.filter(pk=long_ago).update(id=(old := UUID(int=int(moment.timestamp() * 1000) << 80)))

    assert run("--dry-run").endswith("Would redact 1 finished over 10 days ago.\n")
    assert redacted() == set()
    assert run().endswith("Redacted 1 finished over 10 days ago.\n")
    assert redacted() == {old}
    assert lately not in redacted()


def test_without_the_setting_nothing_is() -> None:
    mail(finished_at=timezone.now() - timedelta(days=80))

    assert "edact" not in run()
    assert redacted() == set()


def test_all_that_is_finished_and_went_to_one_recipient_is_redacted() -> None:
    mine = {mail("sent"), mail("failed"), mail("delivered")}
    other = mail(recipient="bob@example.com")

    answer = run("--recipient", ZOE, "--yes", "--actor", "ada")

    assert redacted() == mine
    assert other not in redacted()
    assert re.search(r"email +delivered +1\n +email +failed +1\n +email +sent +1\n", answer), answer
    assert "Redacted 3.\n" in answer
    assert "72 hours" in answer


def test_it_is_kept_who_did_it_and_nobody_is_named() -> None:
    mail()

    with capture_logs() as logs:
        run("--recipient", ZOE, "--yes", "--actor", "ada")

    kept = Operation.objects.get()
    assert (kept.act, kept.actor, kept.via, kept.subject, kept.touched) == (
        *("redact", "ada", "command"),
        *("z•••@example.com", 1),
    )
    assert [line["event"] for line in logs] == ["recipient.forgotten"]
    assert ZOE not in str(logs)


def test_it_is_found_in_its_normal_form_and_as_it_is_written() -> None:
    by_mail, by_sms = mail(), mail(channel="sms", lane="sms", recipient=NUMBER)

    run("--recipient", "zoe@EXAMPLE.com", "--yes")
    assert redacted() == {by_mail}
    run("--recipient", NUMBER, "--channel", "email", "--yes")
    assert by_sms not in redacted()
    run("--recipient", NUMBER, "--channel", "sms", "--yes")
    assert redacted() == {by_mail, by_sms}


def test_a_dry_run_says_what_would_be_and_changes_nothing() -> None:
    mail(), mail("pending")

    code, told = refused("--recipient", ZOE, "--dry-run")

    assert (code, redacted(), Operation.objects.count()) == (forgetting.LEFT, set(), 0)
    assert told.startswith("1 are not finished and were left: ")


def test_what_is_open_is_named_and_left() -> None:
    sent, pending = mail(), mail("pending")

    code, told = refused("--recipient", ZOE, "--yes")

    assert code == forgetting.LEFT
    assert str(pending) in told
    assert redacted() == {sent}
    assert Operation.objects.get().touched == 1


def test_nobody_known_is_no_trouble() -> None:
    assert run("--recipient", ZOE) == "Nothing that is kept went to this recipient.\n"
    assert not Operation.objects.exists()


def test_without_a_terminal_it_asks_for_yes_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mail()
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))

    code, told = refused("--recipient", ZOE)

    assert (code, redacted()) == (2, set())
    assert "add --yes" in told


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("\n", 0), ("no\n", 0)])
def test_at_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch, answer: str, count: int) -> None:
    mail()
    keyboard, terminal = pty.openpty()
    os.write(keyboard, answer.encode())
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        if count:
            assert "Redact 1 notifications? They cannot be read or resent any more. [y/N] " in run("--recipient", ZOE)
        else:
            assert refused("--recipient", ZOE) == (1, "Nothing was redacted.")
    os.close(keyboard)

    assert len(redacted()) == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--channel", "sms"], "need --recipient"),
        (["--yes"], "need --recipient"),
        (["--recipient", ""], "needs an address"),
        (["--recipient", " ", "--yes"], "needs an address"),
        (["--recipient", ZOE, "--channel", "pigeon"], "must be one of"),
        (["--recipient", ZOE, "--channel", "webhook"], "must be one of"),
    ],
)
def test_wrong_options_are_named_and_change_nothing(arguments: list[str], words: str) -> None:
    mail()

    code, told = refused(*arguments)

    assert (code, redacted()) == (2, set())
    assert words in told
