"""All channels and their lanes are seen, paused and resumed, and workers are seen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels import sandbox
from channels.rate import parse
from notifications import services
from notifications.admin import standing
from notifications.models import Client, LaneState, Notification, Operation, Tally
from notifications.outbox import lanes, tokens
from tests.factories import WebhookEndpointFactory
from tests.integration.admin.pages import shown, words
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]

LANES = "/admin/notifications/lanestate/"
PAUSE, RESUME = f"{LANES}add/", f"{LANES}resume/"


def seen(page: str, lane: str) -> str:
    """The row of a lane, as its words."""
    for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL):
        text = " ".join(re.sub(r"<[^>]*>", " ", row).split())
        if text.split()[0] == lane:
            return text
    return ""


def section(page: str, channel: str) -> str:
    found = re.search(rf'aria-labelledby="channel-{channel}">.*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found[0]).split()) if found else ""


def pausing(lane: str, **fields: str) -> dict[str, str]:
    return {"which": lane, "because": "maintenance", "period": "", "form": str(uuid4()), **fields}


def audit() -> list[tuple[str, str, str, str]]:
    return list(Operation.objects.order_by("id").values_list("act", "subject", "actor", "via"))


# --- the page ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("slack")
def test_all_channels_are_listed_though_nothing_keeps_them(browser: Browser) -> None:
    page = shown(browser, LANES)

    assert re.findall(r'id="channel-(\w+)"', page) == ["slack", "email", "sms", "apprise", "webhook"]
    assert "open" in seen(page, "slack:default")
    assert "open" in seen(page, "sms")
    assert "standard_webhook, clients' own receivers" in section(page, "webhook").replace("&#x27;", "'")


def test_what_waits_in_a_lane_is_counted_and_for_how_long_the_oldest_has(browser: Browser) -> None:
    for _ in range(3):
        rows.accepted(lane="slack:ops")
    later = rows.accepted(lane="sms")
    Notification.objects.filter(pk=later).update(due_at=timezone.now() + timedelta(hours=1))
    page = shown(browser, LANES)

    assert re.search(r"^slack:ops open 3 \d s ", seen(page, "slack:ops"))
    assert seen(page, "sms").startswith("sms open 1 - ")


def test_more_than_are_counted_are_said_to_be_more() -> None:
    many = standing.Standing("sms", 10_001, 60, "", 0, 0, None, "", "", with_channel=False, next_in=0)

    assert standing.many([many]) == "10,000+"
    assert [standing.lasting(each) for each in (None, 0.4, 119, 120, 7200, 200_000)] == [
        *("", "0 s", "119 s", "2 min", "2 h", "2 days"),
    ]


def test_what_keeps_a_lane_is_said_and_those_come_first(browser: Browser) -> None:
    rows.accepted(lane="slack:aaa")
    rows.accepted(lane="slack:ops")
    lanes.pause("slack:ops", timedelta(minutes=5), "429: <too> many requests")
    lanes.pause_growing("slack:half", timedelta(seconds=1), timedelta(seconds=1), "500: down")
    LaneState.objects.filter(lane="slack:half").update(paused_until=timezone.now(), failures=3)
    services.pause_lane("sms", actor="ben", reason="moving house")
    page = shown(browser, LANES)

    assert re.findall(r'notifier-lane">(slack:\w+)', page)[:2] == ["slack:ops", "slack:half"]
    assert "closed by its provider" in seen(page, "slack:ops")
    assert "429: &lt;too&gt; many requests" in seen(page, "slack:ops")
    assert "half-open, not yet proven" in seen(page, "slack:half")
    assert "one message at a time is tried, 3 failures in a row: 500: down" in seen(page, "slack:half")
    assert "paused by ben until it is resumed: moving house" in seen(page, "sms")


def test_a_lane_whose_whole_channel_is_paused_says_so(browser: Browser) -> None:
    rows.accepted(lane="slack:ops")
    services.pause_lane("slack", actor="ben", reason="moving house")
    page = shown(browser, LANES)

    assert "paused with its channel" in seen(page, "slack:ops")
    assert "All of slack is paused by ben until it is resumed: moving house" in section(page, "slack")
    assert "Resume all of slack" in section(page, "slack")


def test_a_rate_is_shown_and_when_the_next_may_go(browser: Browser, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "rate": "6/h"}}
    rate = parse("6/h")
    assert rate is not None
    tokens.take("sms", 1, rate)

    assert "twilio_sms 6/h, next in 10 min" in seen(shown(browser, LANES), "sms")


def test_who_sends_is_said_the_sandbox_or_a_provider(browser: Browser, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    played = sandbox.options("http://127.0.0.1:9", 9, ["default"])
    settings.NOTIFIER_CHANNELS = {
        **known,
        "slack": {**known["slack"], **played["slack"]},
        "email": {**known["email"], "sender": "a@example.com", "host": "mail.example.com", "password": "s3cret"},
    }
    page = shown(browser, LANES)

    assert "slack_webhook, sandbox" in section(page, "slack")
    assert "smtp_email, provider" in section(page, "email")
    assert "not configured" in section(page, "apprise")
    assert "s3cret" not in page


def test_a_lane_of_a_channel_that_is_none_here_is_shown(browser: Browser) -> None:
    rows.accepted(lane="pigeon:north", channel="pigeon")
    page = shown(browser, LANES)

    assert "no channel here" in section(page, "pigeon")
    assert "nobody sends it here" in seen(page, "pigeon:north")
    assert "which=pigeon" not in page


def test_the_lane_of_a_webhook_says_whose_it_is(browser: Browser, poster: Client) -> None:
    webhook = WebhookEndpointFactory(client=poster)
    rows.accepted(lane=f"webhook:{webhook.pk}", channel="webhook")

    assert "webhook of shop" in seen(shown(browser, LANES), f"webhook:{webhook.pk}")


def test_when_a_channel_sent_last_and_since_when_it_is_troubled_is_said(browser: Browser) -> None:
    minute = timezone.now().replace(second=0, microsecond=0)
    for ago, kind in ((30, "sent"), (20, "retried"), (5, "failed")):
        Tally.objects.create(minute=minute - timedelta(minutes=ago), channel="sms", kind=kind, code="", count=1)
    text = section(shown(browser, LANES), "sms")

    assert f"Last sent {minute - timedelta(minutes=30):%Y-%m-%d %H:%M} UTC" in text
    assert f"nothing was sent since about {minute - timedelta(minutes=20):%H:%M}" in text


def test_many_lanes_are_cut_short_and_a_search_finds_the_others(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "SHOWN", 5)
    for number in range(9):
        rows.accepted(lane=f"slack:{number}")
    page = shown(browser, LANES)

    assert re.search(r"There are \d+ lanes\. These are the 5 ", page)
    assert seen(page, "slack:8") == ""
    assert "Waiting 5+" in section(page, "slack")
    assert "<b>5+</b> wait in all lanes of slack" in shown(browser, f"{PAUSE}?which=slack")
    assert seen(shown(browser, f"{LANES}?q=ACK:8"), "slack:8").startswith("slack:8 open 1 ")
    assert "No lane has" in shown(browser, f"{LANES}?q=<b>nobody")


def test_a_lanes_own_page_is_the_list_with_it(browser: Browser) -> None:
    assert browser.get(f"{LANES}slack:ops/change/").headers["Location"] == f"{LANES}?q=slack%3Aops"


# --- pause and resume ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("slack")
def test_the_page_that_asks_says_what_is_stopped_and_pauses_nothing(browser: Browser) -> None:
    for lane in ("slack:default", "slack:gone", "slack:gone", "sms"):
        rows.accepted(lane=lane)
    page = " ".join(re.sub(r"<[^>]*>", " ", shown(browser, f"{PAUSE}?which=slack")).split())

    assert "3 wait in all lanes of slack" in page
    assert "slack:gone: 2 waiting" in page
    assert "slack:default: 1 waiting" in page
    assert not LaneState.objects.exists()
    assert "<b>1</b> waits in sms" in shown(browser, f"{PAUSE}?which=sms")


def test_an_operator_pauses_a_channel_which_is_seen_audited_and_resumed(browser: Browser, operator: User) -> None:
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")

    browser.post(PAUSE, pausing("sms", period="until", until="2040-01-02T03:04"))

    state = LaneState.objects.get()
    assert (state.lane, state.stopped_by, state.reason) == ("sms", operator.get_username(), "20003: refused")
    assert state.stopped_until == datetime(2040, 1, 2, 3, 4, tzinfo=UTC)
    assert "paused by ada until 2040-01-02 03:04:00 UTC: maintenance" in seen(shown(browser, LANES), "sms")
    assert Operation.objects.get().detail == "until 2040-01-02 03:04:00 UTC: maintenance"
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message) == ("sms", "Paused: maintenance")
    assert "closed by what was answered" in shown(browser, f"{RESUME}?which=sms")
    assert state == LaneState.objects.get()

    browser.post(RESUME, {"which": "sms"})

    assert not LaneState.objects.exists()
    assert audit() == [("pause", "sms", "ada", "admin"), ("resume", "sms", "ada", "admin")]


def test_a_pause_for_some_time_ends_after_it(browser: Browser) -> None:
    browser.post(PAUSE, pausing("sms", period="60"))

    until = LaneState.objects.get().stopped_until
    assert until is not None
    assert timedelta(minutes=59) < until - timezone.now() <= timedelta(hours=1)


def test_a_form_that_is_sent_twice_pauses_and_is_noted_once(browser: Browser) -> None:
    form = pausing("sms")
    browser.post(PAUSE, form)
    services.resume_lane("sms", actor="ben")

    browser.post(PAUSE, form)

    assert not LaneState.objects.exists()
    assert audit() == [("pause", "sms", "ada", "admin")]


def test_a_lane_that_is_resumed_twice_is_noted_once(browser: Browser) -> None:
    lanes.pause("sms", timedelta(minutes=5), "429")

    said = [words(browser.post(RESUME, {"which": "sms"})) for _ in range(2)]

    assert said == [["sms is resumed."], ["sms is resumed.", "sms was not paused any more."]]
    assert audit() == [("resume", "sms", "ada", "admin")]


@pytest.mark.parametrize(
    ("lane", "fields", "said"),
    [
        ("slak", {}, "It must begin with a channel"),
        ("slack:a\nb", {}, "It must be one line of printable characters"),
        ("", {}, "Pause which lane?"),
        ("sms", {"because": " "}, "This field is required."),
        ("sms", {"because": "x" * 201}, "at most 200 characters"),
        ("sms", {"period": "until", "until": "2020-01-02T03:04"}, "It must be in the future"),
        ("sms", {"period": "until"}, "Say until when."),
        ("sms", {"period": "60", "until": "2040-01-02T03:04"}, "or leave the time empty"),
        ("sms", {"period": "7"}, "Select a valid choice."),
        ("sms", {"form": "x"}, "Enter a valid UUID."),
    ],
)
def test_what_is_wrong_with_a_pause_is_said_and_nothing_is_stored(
    browser: Browser, lane: str, fields: dict[str, str], said: str
) -> None:
    assert said in browser.post(PAUSE, pausing(lane, **fields)).content.decode()
    assert not LaneState.objects.exists()
    assert not Operation.objects.exists()


def test_who_may_only_look_sees_the_lanes_and_pauses_and_resumes_none() -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "429")
    looking = only_looking()
    page = shown(looking, LANES)

    assert "429" in seen(page, "slack:ops")
    assert "which=" not in page
    assert [looking.get(f"{each}?which=sms").status_code for each in (PAUSE, RESUME)] == [403, 403]
    assert looking.post(PAUSE, pausing("sms")).status_code == 403
    assert looking.post(RESUME, {"which": "slack:ops"}).status_code == 403
    assert LaneState.objects.get().lane == "slack:ops"
    assert not Operation.objects.exists()


def test_who_may_not_even_look_sees_no_lanes() -> None:
    user = User.objects.create_user("eve", is_staff=True)
    browser = Browser()
    browser.force_login(user)

    assert [browser.get(each).status_code for each in (LANES, PAUSE, RESUME)] == [403, 403, 403]


def test_a_pause_from_another_site_is_refused(operator: User) -> None:
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(operator)

    assert browser.post(PAUSE, pausing("sms")).status_code == 403
    assert not LaneState.objects.exists()


# --- workers ---------------------------------------------------------------------------------------------------


def test_workers_are_shown_with_what_they_hold(browser: Browser) -> None:
    worker = rows.worker()
    for _ in range(3):
        rows.accepted()
    rows.claimed(worker)

    answer = shown(browser, "/admin/notifications/worker/")

    assert str(worker) in answer
    assert re.search(r'class="[^"]*field-claims[^"]*"[^>]*>\s*3\s*<', answer)
    assert browser.get("/admin/notifications/worker/add/").status_code == 403
    assert browser.post(f"/admin/notifications/worker/{worker}/delete/", {"post": "yes"}).status_code == 403
