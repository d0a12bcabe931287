"""`manage.py lanes`, the services behind it, and what a notification says of what keeps its lane."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels.rate import parse
from notifications import services
from notifications.intake import Refused
from notifications.models import LaneState, Notification
from notifications.outbox import lanes, tokens
from notifications.timeline import next_step
from tests.integration.outbox import rows

pytestmark = pytest.mark.django_db(transaction=True)

LANE = "slack:default"
LATER = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("lanes", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as ended:
        run(*arguments)
    return ended.value.returncode, str(ended.value)


def waits(lane: str = LANE) -> str:
    """What the next step of one that waits in this lane is."""
    row = Notification.objects.filter(lane=lane).first() or Notification.objects.get(id=rows.accepted(lane=lane))
    found = next_step(row)
    return found.what if found.at is None else f"{found.what} {found.at:%Y}"


@pytest.mark.usefixtures("slack")
def test_a_lane_is_paused_listed_and_resumed() -> None:
    rows.accepted(lane=LANE)

    assert (
        run("--pause", LANE, "--reason", "moving house", "--actor", "ann") == f"{LANE} is paused until it is resumed.\n"
    )

    (state,) = LaneState.objects.all()
    assert (state.stopped_by, state.stopped_reason, state.stopped_until) == ("ann", "moving house", lanes.FOREVER)
    assert "until it is resumed (paused by ann: moving house)" in run()
    assert waits() == f"It waits, because an operator has paused {LANE} (moving house)."
    assert run("--resume", LANE) == f"{LANE} is resumed.\n"
    assert not LaneState.objects.exists()
    assert "paused by" not in run()


def test_where_the_settings_have_no_provider_any_destination_may_be_paused() -> None:
    assert run("--pause", LANE, "--reason", "moving house") == f"{LANE} is paused until it is resumed.\n"


@pytest.mark.usefixtures("slack")
def test_a_whole_channel_is_paused_until_a_time() -> None:
    rows.accepted(lane=LANE)

    said = run("--pause", "slack", "--reason", "moving house", "--until", "2040-01-02T04:04:05+01:00")

    assert said == "slack is paused until 2040-01-02 03:04:05 UTC.\n"
    assert LaneState.objects.get().stopped_until == LATER
    assert waits() == "It waits, because an operator has paused slack (moving house). 2040"
    assert [line.split()[0] for line in run().splitlines()[1:]] == [LANE, "slack"]


@pytest.mark.usefixtures("slack")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--pause", "slak", "--reason", "x"], "--pause must begin with a channel: slack, email, sms"),
        (["--pause", "slack:gone", "--reason", "x"], "--pause must be slack or one of its lanes: slack:default"),
        (["--pause", "sms:all", "--reason", "x"], "--pause must be sms"),
        (["--pause", "slack@spare:default", "--reason", "x"], "--pause must begin with slack"),
        (["--pause", "", "--reason", "x"], "--pause must begin with a channel"),
        (["--pause", "~test:sms", "--reason", "x"], "--pause must begin with a channel"),
        (["--pause", LANE], "--reason"),
        (["--pause", LANE, "--reason", " "], "--reason must be one line"),
        (["--pause", LANE, "--reason", "two\nlines"], "--reason must be one line"),
        (["--pause", LANE, "--reason", "x" * 201], "--reason must be one line"),
        (["--pause", LANE, "--reason", "x", "--until", "2020-01-01"], "--until must be in the future"),
        (["--resume", LANE, "--reason", "x"], "go with --pause"),
        (["--pause", LANE, "--resume", LANE], "not allowed with"),
    ],
)
def test_what_is_wrong_is_named_and_stores_nothing(arguments: list[str], named: str) -> None:
    status, message = refused(*arguments)

    assert named in message
    assert status in {1, 2}
    assert not LaneState.objects.exists()


def test_what_is_not_paused_is_not_resumed() -> None:
    assert refused("--resume", "sms") == (1, "sms is not paused.")


def test_where_nothing_waits_the_list_says_so() -> None:
    assert run() == "Nothing waits, and every lane is open.\n"


def test_resuming_ends_a_providers_pause_too() -> None:
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")

    assert services.resume_lane("sms", actor="ann")
    assert not services.resume_lane("sms", actor="ann")
    assert not LaneState.objects.exists()


def test_a_second_word_takes_the_place_of_the_first() -> None:
    services.pause_lane("sms", actor="ann", reason="first")
    services.pause_lane("sms", actor="bob", reason="second", until=LATER)

    state = LaneState.objects.get()
    assert (state.stopped_by, state.stopped_reason, state.stopped_until) == ("bob", "second", LATER)


def test_a_wrong_pause_names_every_field() -> None:
    with pytest.raises(Refused) as refusal:
        services.pause_lane("slak", actor="ann", reason="", until=timezone.now())

    assert [problem.field for problem in refusal.value.problems] == ["lane", "reason", "until"]


def test_a_half_open_lane_says_that_it_is_probed() -> None:
    rows.accepted(lane="sms")
    lanes.pause("sms", timedelta(0), "30001: queue full")

    assert waits("sms").startswith("It waits, because its lane sms was paused (30001: queue full) and is half-open: ")
    assert "half-open (30001: queue full)" in run()


def test_a_lane_that_waits_for_its_turn_says_its_rate(settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "rate": "6/m"}}
    rows.accepted(lane="sms")
    rate = parse("6/m")
    assert rate is not None
    tokens.take("sms", 1, rate)

    row = Notification.objects.get()
    found = next_step(row)

    assert found.what == "It waits for its turn: its lane sends 6/m."
    assert found.at is not None
    assert found.at - timezone.now() < timedelta(seconds=10)
    assert "6/m" in run()
