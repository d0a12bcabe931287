"""One notification: what it says, its story, and what happens next."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from html import unescape
from time import monotonic
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from channels.contract import Progress
from notifications.models import Attachment, LaneState, Notification, Worker
from notifications.outbox import lanes, operate, receipts
from notifications.states import Outcome
from tests.integration.admin.pages import LIST, chosen, ended, shown, url, words
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]


def with_content(content: dict[str, object], *octets: bytes) -> UUID:
    for each in octets:
        Attachment.objects.create(digest=hashlib.sha256(each).digest(), content=each, used_at=timezone.now())
    return rows.accepted(lane="email", content=content)


HOSTILE = '<script>alert(1)</script><img src="https://spy.example/x"></iframe><b>"\'&amp;'


def test_the_html_of_a_mail_is_framed_and_can_do_nothing(browser: Browser) -> None:
    text = browser.get(
        url(with_content({"fields": {"html": HOSTILE, "reply_to": ["<b>"]}, "files": []}))
    ).content.decode()

    frames = re.findall(r'<iframe [^>]*sandbox="" [^>]*srcdoc="([^"]*)"></iframe>', text)
    assert [unescape(frame).partition(">")[2] for frame in frames] == [HOSTILE]
    assert "default-src 'none'" in unescape(frames[0])
    assert "<script>alert" not in text
    beside = re.sub(r"<pre.*?</pre>", "", text.replace(frames[0], ""), flags=re.DOTALL)  # curl has it as text
    assert "spy.example" not in beside
    assert "&lt;b&gt;" in text


def test_the_blocks_of_a_slack_message_are_shown_as_text(browser: Browser) -> None:
    block = {"type": "section", "text": {"type": "mrkdwn", "text": HOSTILE}}
    text = browser.get(url(with_content({"fields": {"blocks": [block]}, "files": []}))).content.decode()

    assert "mrkdwn" in text
    assert "<script>alert" not in text


def test_a_file_can_be_downloaded_and_is_never_shown(browser: Browser) -> None:
    octets = b"<script>alert(1)</script>"
    digest = hashlib.sha256(octets).hexdigest()
    file = {"name": 'Rechnung "März".html', "content_type": "text/html", "size": len(octets), "digest": digest}
    id_ = with_content({"fields": {}, "files": [file]}, octets)

    link = f"{LIST}{id_}/attachments/{digest}/"
    assert link in browser.get(url(id_)).content.decode()
    for who in (browser, only_looking()):
        answer = who.get(link)
        assert (answer.status_code, answer.content) == (200, octets)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_files_are_for_those_who_may_look_and_of_the_notification_that_has_them(browser: Browser) -> None:
    digest = hashlib.sha256(b"a").hexdigest()
    id_ = with_content({"fields": {}, "files": []}, b"a")

    for wrong in (digest, "0" * 64, "x", "ü"):
        assert browser.get(f"{LIST}{id_}/attachments/{wrong}/").status_code == 404
    assert browser.get(f"{LIST}{uuid4()}/attachments/{digest}/").status_code == 404
    nobody = Browser()
    nobody.force_login(User.objects.create_user("eve", is_staff=True))
    assert nobody.get(f"{LIST}{id_}/attachments/{digest}/").status_code == 403
    assert Browser().get(f"{LIST}{id_}/attachments/{digest}/").status_code == 302


def test_the_page_of_an_sms_says_what_its_text_measures(browser: Browser) -> None:
    assert "encoding GSM-7, segments 1" in shown(browser, url(rows.accepted(lane="sms")))
    assert "segments" not in shown(browser, url(rows.accepted()))


def test_the_request_that_would_post_it_again_is_quoted_for_a_shell(browser: Browser) -> None:
    id_ = rows.accepted(lane="sms", recipient="+14155550100", body="it's $HOME `id`", correlation_id="trace/7")

    (written,) = re.findall(r"<pre[^>]*>(curl .*?)</pre>", shown(browser, url(id_)), re.DOTALL)
    words_ = shlex.split(unescape(written).replace("\\\n", " "))

    assert words_[:4] == ["curl", "-X", "POST", "http://testserver/api/v1/notifications"]
    assert "Authorization: Bearer $API_KEY" in words_
    assert "X-Correlation-ID: trace/7" in words_
    assert json.loads(words_[-1]) == {"channel": "sms", "to": "+14155550100", "message": "it's $HOME `id`"}


def test_a_redacted_one_says_so_and_is_not_resent(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT, recipient="ops")
    Notification.objects.filter(pk=id_).update(redacted_at=timezone.now())

    assert ">redacted</span>" in shown(browser, LIST)
    answer = shown(browser, url(id_))
    assert "curl -X POST" not in answer
    assert "/resend/" not in answer


def test_its_lane_and_its_channel_are_paused_and_resumed_from_its_page(browser: Browser) -> None:
    id_ = rows.accepted()
    answer = shown(browser, url(id_))
    assert "lanestate/add/?which=slack%3Aops" in answer
    assert 'lanestate/add/?which=slack"' in answer
    assert "lanestate/resume/" not in answer

    lanes.pause("slack:ops", timedelta(minutes=5), "429")
    answer = shown(browser, url(id_))
    assert "lanestate/resume/?which=slack%3Aops" in answer
    assert 'lanestate/resume/?which=slack"' not in answer


@pytest.mark.parametrize(
    ("action", "page"), [("pause_selected", "lanestate/add/"), ("resume_selected", "lanestate/resume/")]
)
def test_many_lead_to_the_page_that_asks_about_their_lane(browser: Browser, action: str, page: str) -> None:
    ids = [rows.accepted(), rows.accepted()]
    lanes.pause("slack:ops", timedelta(minutes=5), "429")

    answer = browser.post(LIST, chosen(*ids, action=action))
    assert answer.headers["Location"].endswith(f"{page}?which=slack%3Aops")
    across = {**chosen(*ids, action=action), "select_across": "1"}
    assert browser.post(f"{LIST}?channel=slack", across).headers["Location"].endswith(f"{page}?which=slack")
    assert words(browser.post(LIST, across))[0].startswith("Narrow the list to one channel")
    assert LaneState.objects.filter(lane="slack:ops").exists(), "nothing was done before it was asked"


def test_lanes_of_many_channels_are_paused_and_resumed_one_by_one(browser: Browser) -> None:
    ids = [rows.accepted(), rows.accepted(lane="sms", recipient="+14155552671")]

    assert words(browser.post(LIST, chosen(*ids, action="resume_selected"))) == ["None of these lanes is paused."]
    lanes.pause("slack:ops", timedelta(minutes=5), "429")
    lanes.pause("sms", timedelta(minutes=5), "429")
    for action in ("pause_selected", "resume_selected"):
        assert words(browser.post(LIST, chosen(*ids, action=action)))[-1].startswith("One at a time: ")


def test_who_may_not_act_on_lanes_is_led_nowhere(operator: User) -> None:
    id_ = rows.accepted()
    looking = only_looking()

    assert "lanestate/add/" not in shown(looking, url(id_))
    answer = looking.post(LIST, chosen(id_, action="pause_selected"))
    assert "lanestate" not in answer.headers.get("Location", "")


def test_one_is_shown_with_its_message_escaped(browser: Browser) -> None:
    id_ = rows.accepted(body="<script>alert('x')</script>\nsecond line", metadata={"order": "<b>"})

    answer = shown(browser, url(id_))

    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;\nsecond line" in answer
    assert "<script>alert" not in answer
    assert "&quot;order&quot;: &quot;&lt;b&gt;&quot;" in answer


def story(browser: Browser, id_: UUID) -> list[str]:
    """The lines of the timeline, without their times."""
    lines = re.findall(r"<li>\s*<time.*?</time>(.*?)</li>", shown(browser, url(id_)), re.DOTALL)
    return [unescape(" ".join(re.sub(r"<[^>]*>", " ", line).split())) for line in lines]


def test_the_timeline_tells_attempts_receipts_and_events_in_order(browser: Browser) -> None:
    id_ = rows.accepted(key="order-42")
    attempted(id_, Outcome.IN_DOUBT, hold=True, code="timeout", detail="no answer")
    operate.replay([id_], actor="ada", detail="admin")
    attempted(id_, Outcome.ACCEPTED, provider_id="SM7")
    receipts.receive(id_, attempt=2, provider_id="SM7", progress=Progress.DELIVERED)

    assert story(browser, id_) == [
        "Accepted from shop · key order-42",
        "Attempt 1 in doubt timeout: no answer took 0 ms · by slack_webhook",
        "Replayed by ada · admin",
        "Attempt 2 accepted possible duplicate took 0 ms · by slack_webhook · provider's id SM7",
        "Receipt for attempt 2 delivered provider's id SM7",
    ]


def attempted(id_: UUID, outcome: Outcome, **fields: object) -> None:
    """An attempt that begins and ends now."""
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    moment = monotonic()
    rows.recorded(rows.result(claim, outcome, started=moment, finished=moment, **fields))


def test_what_a_provider_says_is_escaped(browser: Browser) -> None:
    id_ = rows.accepted()
    (claim,) = rows.claimed(rows.worker())
    rows.recorded(rows.result(claim, Outcome.PERMANENT, code="400", detail="<script>alert(1)</script>"))

    answer = shown(browser, url(id_))

    assert "&lt;script&gt;alert(1)" in answer
    assert "<script>alert(1)" not in answer


def test_a_send_under_way_is_on_the_timeline(browser: Browser) -> None:
    id_ = rows.accepted()
    worker = Worker.objects.get(pk=rows.worker())
    rows.claimed(worker.id)

    assert story(browser, id_)[-1] == f"Attempt 1 under way by worker {worker}"


def comes_next(browser: Browser, id_: UUID) -> str:
    (section,) = re.findall(r"<h2>What happens next</h2>\s*<p>(.*?)</p>", shown(browser, url(id_)), re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", section).split())


def test_what_happens_next_is_said_with_its_time(browser: Browser) -> None:
    due = rows.accepted()
    assert comes_next(browser, due) == "It waits for a worker, and none is running."
    rows.worker()
    assert comes_next(browser, due) == "It is due, and waits for the next free worker."
    lanes.pause("slack:ops", timedelta(minutes=5), "429: too many requests")
    assert comes_next(browser, due).startswith(
        "It waits, because its lane slack:ops is paused (429: too many requests)."
    )
    later = rows.accepted(send_at=datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert comes_next(browser, later).startswith("It is sent when it is due. 2040-01-02 03:04:05 UTC (in ")


@pytest.mark.parametrize(
    ("outcome", "hold", "answer"),
    [
        (Outcome.ACCEPTED, False, "Nothing: the provider has taken it."),
        (Outcome.PERMANENT, False, "Nothing, until somebody resends it."),
        (Outcome.IN_DOUBT, True, "Nothing, by itself: nobody knows whether it was sent."),
        (Outcome.TRANSIENT, False, "It is tried again when it is due."),
    ],
)
def test_what_happens_next_follows_from_the_state(browser: Browser, outcome: Outcome, hold: bool, answer: str) -> None:
    id_ = ended(outcome, hold=hold)
    Notification.objects.filter(pk=id_).update(due_at=timezone.now() + timedelta(hours=1))

    assert comes_next(browser, id_).startswith(answer)


def test_nothing_of_a_notification_can_be_edited_added_or_deleted(browser: Browser) -> None:
    id_ = rows.accepted(body="as it was")

    assert browser.post(url(id_), {"body": "changed", "status": "sent"}).status_code == 403
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}{id_}/delete/", {"post": "yes"}).status_code == 403
    assert (rows.row(id_).body, rows.row(id_).status) == ("as it was", "pending")


def test_an_id_that_is_none_is_answered_kindly(browser: Browser) -> None:
    for address in (url(uuid4()), f"{LIST}42/change/"):
        assert browser.get(address).status_code == 302
    for address in (f"{LIST}{uuid4()}/resend/", f"{LIST}42/resend/"):
        assert browser.post(address).status_code == 404
