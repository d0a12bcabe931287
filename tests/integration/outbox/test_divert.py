"""From a lane that its provider stopped to another backend's: what may move, where to, and what stays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from notifications import diversion
from notifications.diversion import Diversion
from notifications.models import Event, LaneState, Notification
from notifications.outbox import divert, lanes
from notifications.outbox.statement import direct_connection

from . import rows

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def slack(*names: str) -> dict[str, Any]:
    return {
        "backend": "channels.slack.SlackWebhook",
        "webhooks": {name: f"http://127.0.0.1:9/{name}" for name in names},
    }


@pytest.fixture(autouse=True)
def three(settings: Settings) -> None:
    """Slack by three backends, of which the second knows `ops` alone, under another name too."""
    known = settings.NOTIFIER_CHANNELS
    first = {**known["slack"], **slack("ops", "dev")}
    second, third = {"name": "two", **slack("ops", "staff")}, {"name": "three", **slack("ops", "dev")}
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**first, "backups": [second, third]}}


def stop(lane: str) -> None:
    """By a refusal of its provider's."""
    lanes.pause_growing(lane, MINUTE, MINUTE, "invalid_token: no")


def attend(*where: str) -> dict[str, int]:
    return dict(Diversion().attend(where or ["slack:ops"]))


def lane_of(id_: UUID) -> str:
    return rows.row(id_).lane


def test_what_is_due_goes_to_the_next_backend_of_the_same_destination() -> None:
    id_ = rows.accepted()
    stop("slack:ops")

    assert attend() == {"slack@two:ops": 1}
    row, event = rows.row(id_), Event.objects.get()
    assert (row.lane, row.status, row.tries, row.possible_duplicate) == ("slack@two:ops", "pending", 0, False)
    assert (event.kind, event.actor) == ("diverted", "relay")
    assert event.detail == "slack:ops to slack@two:ops, because of invalid_token: no"


def test_it_is_claimed_there_though_others_were_claimed_before_it() -> None:
    rows.accepted(created_at=datetime.now(UTC) - timedelta(days=1))
    Notification.objects.update(due_at=datetime.now(UTC) - timedelta(days=1))
    stop("slack:ops")
    before = datetime.now(UTC)

    attend()

    assert Notification.objects.get().due_at > before - timedelta(seconds=1)


def test_a_backend_that_refuses_the_recipient_is_passed_over() -> None:
    id_ = rows.accepted(lane="slack:dev", recipient="dev")
    stop("slack:dev")

    assert attend("slack:dev") == {"slack@three:dev": 1}
    assert lane_of(id_) == "slack@three:dev"


CONTENTS: dict[str, dict[str, Any]] = {
    "blocks": {"fields": {"blocks": [{"type": "divider"}]}, "files": []},
    "files": {"fields": {}, "files": [{"name": "a", "content_type": "text/plain", "size": 1, "digest": "00"}]},
}


@pytest.mark.parametrize("has", CONTENTS)
def test_what_a_backend_would_leave_something_out_of_stays_or_goes_to_one_that_would_not(
    settings: Settings, has: str
) -> None:
    known = settings.NOTIFIER_CHANNELS["slack"]
    text_only = {"name": "two", "backend": "channels.apprise.Apprise", "urls": {"ops": "json://127.0.0.1:9"}}
    settings.NOTIFIER_CHANNELS = {"slack": {**known, "backups": [text_only]}}
    plain, whole = rows.accepted(), rows.accepted()
    Notification.objects.filter(pk=whole).update(content=CONTENTS[has])
    stop("slack:ops")
    assert attend() == {"slack@two:ops": 1}
    assert (lane_of(plain), lane_of(whole)) == ("slack@two:ops", "slack:ops")

    settings.NOTIFIER_CHANNELS = {"slack": {**known, "backups": [text_only, {"name": "three", **slack("ops")}]}}
    assert attend() == {"slack@three:ops": 1}
    assert lane_of(whole) == "slack@three:ops"


def test_a_content_that_is_none_of_ours_stands_in_nobodys_way() -> None:
    ids = [rows.accepted() for _ in range(4)]
    for id_, wrong in zip(ids, ["a text", [1], {"fields": 1, "files": 2}, {"fields": [1]}], strict=True):
        Notification.objects.filter(pk=id_).update(content=wrong)
    stop("slack:ops")

    assert sum(attend().values()) == 4


def test_a_backend_that_stands_still_itself_is_passed_over_for_whatever_reason() -> None:
    rows.accepted()
    stop("slack:ops")
    lanes.pause("slack@two:ops", MINUTE, "429: later")

    assert attend() == {"slack@three:ops": 1}


def test_where_all_stand_still_it_stays_and_comes_back_to_whoever_opens_first() -> None:
    id_ = rows.accepted()
    for lane in ("slack:ops", "slack@two:ops", "slack@three:ops"):
        stop(lane)
    assert attend() == {}

    Notification.objects.update(lane="slack@three:ops")
    lanes.resume("slack:ops")

    assert attend("slack@three:ops") == {"slack:ops": 1}
    assert lane_of(id_) == "slack:ops"


def test_a_rate_limit_and_an_open_lane_divert_nothing() -> None:
    rows.accepted()
    assert attend() == {}
    lanes.pause("slack:ops", MINUTE, "429: later")
    assert attend() == {}
    stop("slack:ops")  # which comes while the other still stands
    LaneState.objects.update(paused_until=datetime.now(UTC) - timedelta(seconds=1), failures=1)
    assert attend() == {}


def test_what_is_not_due_stays() -> None:
    id_ = rows.accepted(send_at=datetime.now(UTC) + timedelta(hours=1))
    stop("slack:ops")

    assert attend() == {}
    assert lane_of(id_) == "slack:ops"


def test_a_channel_of_one_backend_is_left_alone() -> None:
    rows.accepted(lane="sms")
    stop("sms")

    assert attend("sms", "pager") == {}


def test_what_nobody_takes_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divert, "FIND", divert.FIND.replace(f"LIMIT {divert.AT_ONCE}", "LIMIT 3"))
    stuck = [rows.accepted(recipient="gone") for _ in range(5)]
    moved = [rows.accepted() for _ in range(5)]
    stop("slack:ops")

    assert attend() == {"slack@two:ops": 5}
    assert {lane_of(id_) for id_ in moved} == {"slack@two:ops"}
    assert {lane_of(id_) for id_ in stuck} == {"slack:ops"}


def test_what_nobody_took_is_asked_for_again_when_another_backend_opens() -> None:
    id_ = rows.accepted(lane="slack:dev", recipient="dev")
    stop("slack:dev")
    stop("slack@three:dev")
    one = Diversion()
    assert dict(one.attend(["slack:dev"])) == {}

    lanes.resume("slack@three:dev")

    assert dict(one.attend(["slack:dev"])) == {"slack@three:dev": 1}
    assert lane_of(id_) == "slack@three:dev"


def test_a_round_has_an_end_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversion, "AT_MOST", 300)
    for _ in range(450):
        rows.accepted()
    stop("slack:ops")
    one = Diversion()

    assert [one.attend(["slack:ops"]).total() for _ in range(3)] == [400, 50, 0]
    assert Event.objects.count() == 450


def test_what_somebody_holds_is_passed_over() -> None:
    held, free = rows.accepted(), rows.accepted()
    stop("slack:ops")
    with direct_connection("somebody") as other, other.transaction():
        other.execute("SELECT 1 FROM notification WHERE id = %s FOR UPDATE", [held])
        assert attend() == {"slack@two:ops": 1}

    assert (lane_of(held), lane_of(free)) == ("slack:ops", "slack@two:ops")


def test_what_was_claimed_or_opened_meanwhile_stays() -> None:
    id_ = rows.accepted()
    (found,) = rows.claimed(rows.worker())
    stop("slack:ops")
    to: Mapping[UUID, str] = {found.id: "slack@two:ops"}
    assert divert.divert("slack:ops", to, hold_unknown=False) == {}

    Notification.objects.update(status="pending", worker_id=None, claimed_at=None, started_at=None, attempt=0)
    lanes.resume("slack:ops")
    assert divert.divert("slack:ops", to, hold_unknown=False) == {}
    assert lane_of(id_) == "slack:ops"


@pytest.mark.parametrize("hold", [True, False])
def test_what_may_have_been_sent_under_a_key_is_held_by_its_backend_or_goes_on_marked(
    settings: Settings, hold: bool
) -> None:
    known = settings.NOTIFIER_CHANNELS
    policy = "hold" if hold else "resend"
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "on_unknown": policy}}
    id_ = rows.accepted()
    Notification.objects.update(deduplicated_until=datetime.now(UTC) + timedelta(hours=1))
    stop("slack:ops")

    attend()

    row = rows.row(id_)
    expected = ("slack:ops", False) if hold else ("slack@two:ops", True)
    assert (row.lane, row.possible_duplicate) == expected
    assert (row.deduplicated_until is None) is not hold


def test_a_test_stays_among_tests(settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    slack_ = known["slack"]
    backups = [{**each, "sandbox": each} for each in slack_["backups"]]
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**slack_, "sandbox": slack_, "backups": backups}}
    id_ = rows.accepted(lane="~test:slack:ops", channel="slack")
    stop("~test:slack:ops")

    assert attend("~test:slack:ops") == {"~test:slack@two:ops": 1}
    assert lane_of(id_) == "~test:slack@two:ops"
