"""`manage.py suppress`: operators put recipients on the list, take them from it and read it."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings
from structlog.testing import capture_logs

from notifications import services
from notifications.models import Suppression
from notifications.states import Reason

pytestmark = pytest.mark.django_db(transaction=True)

ANN = ("--channel", "sms", "--recipient", "+14155552671")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("suppress", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as stopped:
        run(*arguments)
    return stopped.value.returncode, str(stopped.value)


def test_one_is_put_on_the_list_with_who_did_it_and_why() -> None:
    answer = run(*ANN, "--reason", "opt_out", "--detail", "by phone", "--actor", "ada")

    assert answer == "Suppressed: nothing more is sent to it. What is pending for it fails when it is due.\n"
    row = Suppression.objects.get()
    assert (row.address, row.reason, row.detail, row.created_by) == ("sms:+14155552671", "opt_out", "by phone", "ada")
    assert (row.source, row.notification_id) == ("", None)


def test_an_address_is_kept_in_its_normal_form() -> None:
    run("--channel", "email", "--recipient", "Ann@EXAMPLE.com")

    assert Suppression.objects.get().recipient == "Ann@example.com"
    assert run("--channel", "email", "--recipient", "Ann@Example.COM", "--remove").startswith("Taken from the list")


def test_what_is_so_already_is_said_by_the_exit_status() -> None:
    run(*ANN, "--reason", "opt_out")

    assert refused(*ANN, "--reason", "manual") == (1, "It is on the list already.")
    assert Suppression.objects.get().reason == "opt_out"
    run(*ANN, "--remove")
    assert refused(*ANN, "--remove") == (1, "It is not on the list.")


def test_of_a_channel_that_is_no_more_one_can_be_removed(settings: Settings) -> None:
    run(*ANN)
    settings.NOTIFIER_CHANNELS = {n: each for n, each in settings.NOTIFIER_CHANNELS.items() if n != "sms"}

    run(*ANN, "--remove")
    assert not Suppression.objects.exists()


def test_tests_have_a_list_of_their_own(settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": {**known["sms"]}}}
    run(*ANN)
    run(*ANN, "--test")

    assert {row.address for row in Suppression.objects.all()} == {"sms:+14155552671", "~test:sms:+14155552671"}
    run(*ANN, "--test", "--remove")
    assert not Suppression.objects.get().test


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--channel", "sms", "--recipient", "4155552671"), "--recipient: must be a phone number"),
        (("--channel", "fax", "--recipient", "+14155552671"), "--channel: must be one of"),
        (("--channel", "webhook", "--recipient", "x"), "--channel: must be one of"),
        ((*ANN, "--test"), "no sandbox"),
        (("--recipient", "+14155552671"), "needs --channel"),
        (("--remove", "--channel", "sms"), "needs --channel and --recipient"),
        (("--limit", "0"), "--limit must be from 1"),
        ((*ANN, "--reason", "because"), "--reason"),
    ],
)
def test_a_wrong_option_is_named(arguments: tuple[str, ...], word: str) -> None:
    status, said = refused(*arguments)

    assert word in said
    assert status == 2 or "--reason" in said
    assert not Suppression.objects.exists()


def test_the_list_is_shown_newest_first_as_far_as_asked() -> None:
    for number in range(3):
        services.suppress("sms", f"+1415555267{number}", actor="ada")
    services.suppress("email", "ann@example.com", actor="ben", reason=Reason.HARD_BOUNCE)

    head, first, second, rest = run("--limit", "2").splitlines()
    assert head.split()[:4] == ["channel", "recipient", "test", "reason"]
    assert first.split()[:6] == ["email", "ann@example.com", "-", "hard_bounce", "-", "ben"]
    assert second.split()[:2] == ["sms", "+14155552672"]
    assert rest == "These are the newest 2; there are more."
    assert len(run("--channel", "sms").splitlines()) == 4


def test_an_empty_list_says_so() -> None:
    assert run() == "Nobody is suppressed.\n"


def test_no_log_holds_a_recipient() -> None:
    with capture_logs() as logs:
        run(*ANN)
        run(*ANN, "--remove")

    assert [line["event"] for line in logs] == ["recipient.suppressed", "recipients.unsuppressed"]
    assert "4155552671" not in str(logs)
