"""What an operator sees and does in the admin, through its own pages."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from time import monotonic
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from channels import sandbox
from channels.contract import Progress
from notifications import selectors
from notifications.admin import finding, operations
from notifications.admin import notification as page
from notifications.credentials import digest
from notifications.models import ApiKey, Attachment, Client, Event, LaneState, Notification, Worker
from notifications.models import Operation as OperationRow
from notifications.outbox import lanes, operate, receipts
from notifications.outbox.listing import first_id
from notifications.selection import Selection
from notifications.states import Outcome, Status
from tests.factories import WebhookEndpointFactory
from tests.integration.outbox import rows
from tests.integration.staff import only_looking

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/notifications/notification/"
KEYS = "/admin/notifications/apikey/"
OPERATIONS = "/admin/notifications/operation/"
WEBHOOKS = "/admin/notifications/webhookendpoint/"


@pytest.fixture(autouse=True)
def poster() -> Client:
    """Whose notifications the rows are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('client', 'id'), 1)")
    return Client.objects.create(id=1, name="shop")


def ended(outcome: Outcome, *, lane: str | None = None, hold: bool = False, **fields: object) -> UUID:
    id_ = rows.accepted(lane=lane or f"slack:{uuid4()}", **fields)
    (claim,) = rows.claimed(rows.worker(), lane=rows.row(id_).lane)
    rows.recorded(rows.result(claim, outcome, hold=hold, code="a_code", detail="a detail"))
    return id_


def url(id_: UUID) -> str:
    return f"{LIST}{id_}/change/"


def shown(browser: Browser, address: str) -> str:
    response = browser.get(address, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def listed(browser: Browser, query: str = "") -> set[str]:
    """The ids of the rows that a list shows."""
    return set(re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', shown(browser, LIST + query)))


def chosen(*ids: UUID, action: str = "resend_selected", **more: str) -> dict[str, object]:
    return {"action": action, "_selected_action": [str(id_) for id_ in ids], **more}


def words(response: object) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]  # type: ignore[attr-defined]


# --- the list --------------------------------------------------------------------------------------------


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


def test_the_list_shows_the_newest_first(browser: Browser) -> None:
    ids = [str(rows.accepted()) for _ in range(3)]

    found = re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', shown(browser, LIST))

    assert found == ids[::-1]


def test_the_list_says_the_state_in_words(browser: Browser) -> None:
    Notification.objects.filter(pk=ended(Outcome.PERMANENT)).update(possible_duplicate=True)

    assert '<span class="notifier-label notifier-failed">failed</span>' in shown(browser, LIST)
    assert ">possible duplicate</span>" in shown(browser, LIST)


def test_the_list_is_filtered_by_status_channel_and_time(browser: Browser) -> None:
    failed, unknown = ended(Outcome.PERMANENT), ended(Outcome.IN_DOUBT, hold=True)
    sms = rows.accepted(lane="sms")
    moment = datetime.now(UTC) - timedelta(days=2)
    old = rows.accepted(id=first_id(moment), created_at=moment)

    assert listed(browser, "?status=failed") == {str(failed)}
    assert listed(browser, "?status=attention") == {str(failed), str(unknown)}
    assert listed(browser, "?channel=sms") == {str(sms)}
    assert listed(browser, "?accepted=day") == {str(failed), str(unknown), str(sms)}
    assert str(old) in listed(browser, "?accepted=week")


def test_tests_are_marked_in_the_list_and_can_be_told_apart(browser: Browser) -> None:
    live, test = (
        rows.accepted(lane="sms", recipient="live one"),
        rows.accepted(lane="~test:sms", channel="sms", recipient="test one"),
    )

    assert listed(browser, "?mode=live") == {str(live)}
    assert listed(browser, "?mode=test") == {str(test)}
    assert shown(browser, LIST).count(">TEST</span>") == 1
    assert ">TEST</span>" in shown(browser, url(test))
    assert ">TEST</span>" not in shown(browser, url(live))


def test_the_page_of_an_sms_says_what_its_text_measures(browser: Browser) -> None:
    assert "encoding GSM-7, segments 1" in shown(browser, url(rows.accepted(lane="sms")))
    assert "segments" not in shown(browser, url(rows.accepted()))


@pytest.mark.parametrize("term", ["+14155550100", "5555010", "order-42", "trace/7", " order-42 "])
def test_the_search_finds_recipient_key_and_correlation_id(browser: Browser, term: str) -> None:
    id_ = rows.accepted(recipient="+14155550100", key="order-42", correlation_id="trace/7", lane="sms")
    rows.accepted()

    assert listed(browser, f"?q={term.replace('+', '%2B')}") == {str(id_)}


def test_the_search_finds_an_id(browser: Browser) -> None:
    id_ = rows.accepted()
    rows.accepted()

    assert listed(browser, f"?q={id_}") == {str(id_)}


def test_the_search_finds_a_correlation_id_that_looks_like_an_id(browser: Browser) -> None:
    correlation_id = str(uuid4())
    id_ = rows.accepted(correlation_id=correlation_id)
    rows.accepted()

    assert listed(browser, f"?q={correlation_id}") == {str(id_)}


def test_the_list_counts_and_skips_nothing(browser: Browser) -> None:
    rows.accepted()

    with CaptureQueriesContext(connection) as queries:
        shown(browser, f"{LIST}?o=4.-2")

    about = [query["sql"] for query in queries if 'FROM "notification"' in query["sql"]]
    assert about
    assert not [sql for sql in about if "COUNT" in sql]
    assert {found for sql in about for found in re.findall(r"OFFSET (\d+)", sql)} <= {str(finding.LOOK - 1)}


def test_a_page_costs_the_same_however_many_rows_it_has(browser: Browser) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(browser, LIST)
        return len(queries)

    rows.accepted()
    shown(browser, LIST)
    one = cost()
    for _ in range(5):
        rows.accepted()

    assert cost() == one


def link(page_: str, title: str) -> str:
    (found,) = re.findall(rf'<a href="([^"]*)"[^>]*>{title}</a>', page_)
    return unescape(found)


def test_pages_lead_to_older_and_newer_ones_and_back(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.NotificationAdmin, "list_per_page", 2)
    ids = [str(rows.accepted()) for _ in range(5)][::-1]

    first = shown(browser, LIST)
    second = shown(browser, LIST + link(first, "Older »"))
    third = shown(browser, LIST + link(second, "Older »"))
    back = shown(browser, LIST + link(third, "« Newer"))

    def of(page_: str) -> list[str]:
        return re.findall(rf'href="{LIST}([0-9a-f-]{{36}})/change/', page_)

    assert [of(each) for each in (first, second, third, back)] == [ids[:2], ids[2:4], ids[4:], ids[2:4]]
    assert "2 of more" in first
    assert "Older" not in third
    assert link(third, "Newest") == "?"


def test_what_is_rare_among_many_is_looked_for_page_by_page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    rare = rows.accepted(lane="sms")
    for _ in range(5):
        rows.accepted()
    monkeypatch.setattr(finding, "LOOK", 3)

    first = shown(browser, f"{LIST}?channel=sms")

    assert str(rare) not in first
    assert str(rare) in shown(browser, LIST + link(first, "Look further »"))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("status=lost", "“status” must be one of attention, pending"),
        ("since=yesterday", "“since” must be a time such as"),
        ("before=7", "“before” must be a notification&#x27;s id"),
        ("client=nobody", "“client” must be the id or the name"),
        ("mode=dry", "“mode” must be one of live, test"),
    ],
)
def test_an_address_that_means_nothing_is_told_what_to_mend(browser: Browser, query: str, why: str) -> None:
    assert why in shown(browser, f"{LIST}?{query}")


def test_the_list_is_filtered_by_code_client_and_exact_times(browser: Browser) -> None:
    failed = ended(Outcome.PERMANENT)
    rows.accepted()
    created = rows.row(failed).created_at

    assert listed(browser, "?status=failed&channel=slack&error_code=a_code") == {str(failed)}
    assert listed(browser, "?error_code=another") == set()
    assert str(failed) in listed(browser, "?client=shop")
    assert str(failed) in listed(browser, "?client=1&status=failed")
    assert listed(browser, f"?until={created:%Y-%m-%dT%H:%M:%S.%f}") == set()
    assert str(failed) in listed(browser, f"?since={created:%Y-%m-%dT%H:%M:%S.%f}")


def test_it_takes_three_clicks_from_a_recipient_to_the_providers_answer(browser: Browser) -> None:
    """Search, open the newest, read; from the list of what failed it is one less."""
    id_ = ended(Outcome.PERMANENT, lane="sms", recipient="+14155550100")

    found = shown(browser, f"{LIST}?q=%2B14155550100")  # 1: the list; 2: search
    assert "a_code" in found  # already here
    answer = shown(browser, re.findall(rf'href="({LIST}{id_}/change/)', found)[0])  # 3: open it
    assert "a_code: a detail" in answer


def test_a_redacted_one_says_so_and_is_not_resent(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT, recipient="ops")
    Notification.objects.filter(pk=id_).update(redacted_at=timezone.now())

    assert ">redacted</span>" in shown(browser, LIST)
    answer = shown(browser, url(id_))
    assert "curl -X POST" not in answer
    assert "/resend/" not in answer


def test_the_request_that_would_post_it_again_is_quoted_for_a_shell(browser: Browser) -> None:
    id_ = rows.accepted(lane="sms", recipient="+14155550100", body="it's $HOME `id`", correlation_id="trace/7")

    (written,) = re.findall(r"<pre[^>]*>(curl .*?)</pre>", shown(browser, url(id_)), re.DOTALL)
    words_ = shlex.split(unescape(written).replace("\\\n", " "))

    assert words_[:4] == ["curl", "-X", "POST", "http://testserver/api/v1/notifications"]
    assert "Authorization: Bearer $API_KEY" in words_
    assert "X-Correlation-ID: trace/7" in words_
    assert json.loads(words_[-1]) == {"channel": "sms", "to": "+14155550100", "message": "it's $HOME `id`"}


def test_lanes_are_paused_and_resumed_from_a_notification(browser: Browser) -> None:
    id_ = rows.accepted()
    lanes.pause("slack:ops", timedelta(minutes=5), "429")
    answer = shown(browser, url(id_))
    assert "lanestate/add/?which=slack%3Aops" in answer

    browser.post(f"{LIST}{id_}/resume-lane/")

    assert not LaneState.objects.exists()
    assert OperationRow.objects.get().subject == "slack:ops"
    pausing_ = browser.post(LIST, chosen(id_, action="pause_selected"))
    assert pausing_.headers["Location"].endswith("lanestate/add/?which=slack%3Aops")
    assert only_looking().post(f"{LIST}{id_}/resume-lane/").status_code == 403


def test_the_newest_attempts_are_listed_and_filtered(browser: Browser) -> None:
    failed, sent = ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)
    there = "/admin/notifications/operation/attempts/"

    assert url(failed) in shown(browser, there)
    for query in ("outcome=permanent", "channel=slack&outcome=permanent", "backend=slack_webhook&outcome=permanent"):
        answer = shown(browser, f"{there}?{query}")
        assert url(failed) in answer
        assert url(sent) not in answer
    assert "None here." in shown(browser, f"{there}?code=none")
    assert only_looking().get(there).status_code == 200
    nobody = Browser()
    nobody.force_login(User.objects.create_user("eve", is_staff=True))
    assert nobody.get(there).status_code == 403


def test_a_search_that_takes_too_long_is_stopped_with_advice(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
                due_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code,
                correlation_id, idempotency_key, created_at)
            SELECT lpad(to_hex(n), 32, '0')::uuid, 1, 'slack', 'slack:ops', 'ops', '', '', '{}', 1, now(), 'pending',
                0, 0, 0, false, '', '', '', '', now() FROM generate_series(1, 50000) AS n
            """
        )
    monkeypatch.setattr(page, "LOOK_FOR", timedelta(milliseconds=1))

    response = browser.get(f"{LIST}?q=nobody")

    assert (response.status_code, response.headers["Location"]) == (302, LIST)
    assert "was stopped. Narrow it by time" in words(response)[0]
    monkeypatch.undo()
    assert listed(browser, "?q=nobody") == set()


# --- one -------------------------------------------------------------------------------------------------


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


# --- resend and cancel -----------------------------------------------------------------------------------


def test_a_failed_one_is_resent_from_its_page(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)
    assert f'action="{LIST}{id_}/resend/"' in shown(browser, url(id_))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert (response.status_code, response.headers["Location"]) == (302, url(id_))
    assert words(response) == ["The notification was resent."]
    assert rows.row(id_).status == "pending"


def test_a_resend_is_noted_with_the_users_name(browser: Browser, operator: User) -> None:
    id_ = ended(Outcome.PERMANENT)

    browser.post(f"{LIST}{id_}/resend/")

    event = Event.objects.get(notification_id=id_)
    assert (event.kind, event.actor, event.detail) == ("replayed", "ada", "admin")
    entry = LogEntry.objects.get(object_id=str(id_))
    assert (entry.user, entry.get_change_message()) == (operator, "Resent.")


@pytest.mark.parametrize("name", ["resend", "cancel"])
def test_an_unknown_one_is_asked_about_first(browser: Browser, name: str) -> None:
    id_ = ended(Outcome.IN_DOUBT, hold=True)

    question = browser.post(f"{LIST}{id_}/{name}/").content.decode()

    warning = {"resend": "1 may have been sent already: its recipient may get", "cancel": "cannot be resent"}
    assert warning[name] in question
    assert rows.row(id_).status == "unknown"

    browser.post(f"{LIST}{id_}/{name}/", {"confirmed": "yes"})

    assert rows.row(id_).status == {"resend": "pending", "cancel": "canceled"}[name]


def test_a_sent_one_has_no_buttons_and_is_left_alone(browser: Browser) -> None:
    id_ = ended(Outcome.ACCEPTED)
    assert "/resend/" not in shown(browser, url(id_))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert words(response) == ["The notification was left alone: it is sent."]
    assert rows.row(id_).status == "sent"
    assert not LogEntry.objects.exists()


def test_an_expired_one_is_left_alone(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=id_).update(expires_at=timezone.now() - timedelta(seconds=1))

    response = browser.post(f"{LIST}{id_}/resend/")

    assert words(response) == ["The notification was left alone: it is expired."]


def test_a_link_cannot_resend(browser: Browser) -> None:
    id_ = ended(Outcome.PERMANENT)

    assert browser.get(f"{LIST}{id_}/resend/").status_code == 405
    assert rows.row(id_).status == "failed"


def test_another_site_cannot_resend(operator: User) -> None:
    id_ = ended(Outcome.PERMANENT)
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(operator)

    assert browser.post(f"{LIST}{id_}/resend/").status_code == 403
    assert rows.row(id_).status == "failed"


def test_many_are_asked_about_with_what_is_left_alone(browser: Browser) -> None:
    failed, unknown, sent = ended(Outcome.PERMANENT), ended(Outcome.IN_DOUBT, hold=True), ended(Outcome.ACCEPTED)
    expired = ended(Outcome.PERMANENT)
    Notification.objects.filter(pk=expired).update(expires_at=timezone.now())

    question = browser.post(LIST, chosen(failed, unknown, sent, expired)).content.decode()

    assert "<b>2</b> will be resent." in question
    assert "<li>1 expired</li><li>1 sent</li>" in question
    assert "1 may have been sent already" in question
    assert [rows.row(id_).status for id_ in (failed, unknown, sent, expired)] == ["failed", "unknown", "sent", "failed"]


def test_many_are_resent_once_confirmed(browser: Browser) -> None:
    wanted = [ended(Outcome.PERMANENT) for _ in range(5)]
    other, sent = ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)

    response = browser.post(LIST, chosen(*wanted, sent, confirmed="yes"), follow=True)

    assert "5 notifications were resent." in response.content.decode()
    assert {rows.row(id_).status for id_ in wanted} == {"pending"}
    assert [rows.row(id_).status for id_ in (other, sent)] == ["failed", "sent"]
    assert Event.objects.filter(actor="ada").count() == LogEntry.objects.count() == 5


def test_the_question_carries_the_choice_to_its_answer(browser: Browser) -> None:
    """What the page would post when its button is pressed resends exactly what was asked about."""
    wanted = [ended(Outcome.PERMANENT) for _ in range(2)]
    other = ended(Outcome.PERMANENT)
    question = browser.post(f"{LIST}?status=failed", chosen(*wanted)).content.decode()
    fields = hidden(question)

    browser.post(f"{LIST}?status=failed", fields)

    assert {rows.row(id_).status for id_ in wanted} == {"pending"}
    assert rows.row(other).status == "failed"


def hidden(page_: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page_):
        fields.setdefault(name, []).append(value)
    return fields


def test_all_that_match_a_filter_are_asked_about_and_given_to_a_relay_once(browser: Browser, operator: User) -> None:
    failed = [ended(Outcome.PERMANENT) for _ in range(3)]
    ended(Outcome.IN_DOUBT, hold=True)
    here = f"{LIST}?status=failed&channel=slack&error_code=a_code"

    question = browser.post(here, chosen(failed[0], select_across="1")).content.decode()
    assert "<b>3</b> will be resent." in question
    assert "status failed, channel slack, error_code a_code" in question
    fields = hidden(question)
    first, again = (browser.post(here, fields) for _ in range(2))

    asked = OperationRow.objects.get()  # a double click asks once
    assert first.headers["Location"] == again.headers["Location"] == f"{OPERATIONS}{asked.pk}/change/"
    assert (asked.act, asked.actor, asked.via, asked.state, asked.chosen) == ("resend", "ada", "admin", "asked", 3)
    selection = Selection.from_json(asked.selection)
    assert (selection.statuses, selection.channels) == ({Status.FAILED}, {"slack"})
    assert set(selection.rows().values_list("id", flat=True)) == set(failed)
    assert {rows.row(id_).status for id_ in failed} == {"failed"}  # a relay's to do
    assert "asked" in shown(browser, first.headers["Location"])
    assert "notifications/refresh.js" in shown(browser, OPERATIONS)


def test_all_that_match_are_not_acted_on_without_the_question(browser: Browser) -> None:
    failed = ended(Outcome.PERMANENT)

    browser.post(LIST, chosen(failed, select_across="1", confirmed="yes"))

    assert not OperationRow.objects.exists()
    assert rows.row(failed).status == "failed"


def test_more_than_are_counted_is_said(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST", 2)
    failed = [ended(Outcome.PERMANENT) for _ in range(3)]

    question = browser.post(LIST, chosen(failed[0], select_across="1")).content.decode()

    assert "only the newest" in question
    assert "At least 2" in " ".join(re.sub("<[^>]*>", "", question).split())


def test_the_question_says_to_whom(browser: Browser) -> None:
    ids = [ended(Outcome.PERMANENT, lane="email", recipient=f"{name}@Shop.example") for name in ("ada", "bob")]

    question = browser.post(LIST, chosen(*ids)).content.decode()

    assert "<b>2</b> shop.example" in question
    assert "<b>2</b> email" in question
    assert "ada@Shop.example" in question


def test_many_are_canceled(browser: Browser) -> None:
    pending, failed, sent = rows.accepted(lane="sms"), ended(Outcome.PERMANENT), ended(Outcome.ACCEPTED)

    browser.post(LIST, chosen(pending, failed, sent, action="cancel_selected", confirmed="yes"))

    assert [rows.row(id_).status for id_ in (pending, failed, sent)] == ["canceled", "canceled", "sent"]
    assert Event.objects.filter(kind="canceled", actor="ada").count() == 2


def test_who_may_only_look_sees_and_cannot_act() -> None:
    looking = only_looking()
    id_ = ended(Outcome.PERMANENT)

    assert listed(looking) == {str(id_)}
    answer = shown(looking, url(id_))
    assert "What happens next" in answer
    assert "/resend/" not in answer
    assert "resend_selected" not in shown(looking, LIST)
    for name in ("resend", "cancel"):
        assert looking.post(f"{LIST}{id_}/{name}/", {"confirmed": "yes"}).status_code == 403
    looking.post(LIST, chosen(id_, confirmed="yes"))
    assert rows.row(id_).status == "failed"


def test_staff_without_permission_sees_nothing() -> None:
    browser = Browser()
    browser.force_login(User.objects.create_user("eve", is_staff=True))
    id_ = ended(Outcome.PERMANENT)

    assert browser.get(LIST).status_code == 403
    assert browser.get(url(id_)).status_code == 403


# --- clients and keys ------------------------------------------------------------------------------------


def new_key(browser: Browser, client: Client, **fields: str) -> str:
    """Make a key by the form; the page that answers."""
    response = browser.post(
        f"{KEYS}add/", {"client": client.pk, "name": "checkout", "scopes": ["send", "read"], **fields}
    )
    assert response.status_code == 200
    return response.content.decode()


def test_a_client_is_made_and_switched_off_and_never_deleted(browser: Browser) -> None:
    browser.post("/admin/notifications/client/add/", {"name": "billing", "is_active": "on"})
    client = Client.objects.get(name="billing")
    browser.post(f"/admin/notifications/client/{client.pk}/change/", {"name": "billing"})

    client.refresh_from_db()
    assert not client.is_active
    assert browser.post(f"/admin/notifications/client/{client.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_new_key_is_shown_once_and_works(browser: Browser, poster: Client) -> None:
    answer = new_key(browser, poster)

    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", answer)
    assert selectors.key(digest(text)) == selectors.Key(
        poster, frozenset({"send", "read"}), is_test=False, expires_in=None
    )
    key = ApiKey.objects.get()
    assert key.name == "checkout"
    for address in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/", "/admin/"):
        again = shown(browser, address)
        assert text not in again
        assert key.digest.hex() not in again
    assert not any(text in cookie.value for cookie in browser.cookies.values())


def test_the_answer_with_a_new_key_is_not_stored_by_the_browser(browser: Browser, poster: Client) -> None:
    response = browser.post(f"{KEYS}add/", {"client": poster.pk, "name": "", "scopes": ["read"]})

    assert "no-store" in response.headers["Cache-Control"]


def test_a_new_key_is_noted_without_its_text(browser: Browser, operator: User, poster: Client) -> None:
    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", new_key(browser, poster))

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(ApiKey.objects.get().pk))
    assert text not in entry.object_repr + entry.change_message


def test_a_key_may_end_in_the_future_only(browser: Browser, poster: Client) -> None:
    assert "This must be in the future." in new_key(browser, poster, expires_at_0="2020-01-01", expires_at_1="00:00:00")
    assert not ApiKey.objects.exists()

    new_key(browser, poster, expires_at_0="2040-01-01", expires_at_1="00:00:00")
    assert ApiKey.objects.get().expires_at == datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture
def sandboxed(settings: Settings) -> None:
    played = sandbox.options("http://127.0.0.1:9", 9, ["default"])
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**known[name], "sandbox": played.get(name)} for name in known}


def test_a_test_key_is_made_and_shown_as_one(browser: Browser, poster: Client, sandboxed: None) -> None:
    answer = new_key(browser, poster, is_test="on")

    (text,) = re.findall(r"nk_test_[0-9a-f]{8}_[\w-]+", answer)
    assert selectors.key(digest(text)) == selectors.Key(
        poster, frozenset({"send", "read"}), is_test=True, expires_in=None
    )
    for page_ in (answer, shown(browser, KEYS), shown(browser, f"{KEYS}{ApiKey.objects.get().pk}/change/")):
        assert ">TEST</span>" in page_
    assert ">TEST</span>" not in shown(browser, f"{KEYS}?is_test__exact=0")


def test_a_test_key_is_not_made_where_it_could_reach_no_sandbox(browser: Browser, poster: Client) -> None:
    assert "set SANDBOX_URL" in new_key(browser, poster, is_test="on")
    assert not ApiKey.objects.exists()


def test_a_revoked_key_is_refused(browser: Browser, poster: Client) -> None:
    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", new_key(browser, poster))
    key = ApiKey.objects.get()

    browser.post(KEYS, chosen_rows(key.pk, action="revoke"))

    assert selectors.key(digest(text)) is None
    assert ">revoked</span>" in shown(browser, KEYS)
    assert LogEntry.objects.filter(change_message="Revoked.").count() == 1


def test_a_key_cannot_be_edited_or_deleted(browser: Browser, poster: Client) -> None:
    new_key(browser, poster)
    key = ApiKey.objects.get()

    assert browser.post(f"{KEYS}{key.pk}/change/", {"name": "other"}).status_code == 403
    assert browser.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_keys_are_not_made_or_revoked_by_who_may_only_look(browser: Browser, poster: Client) -> None:
    new_key(browser, poster)
    key = ApiKey.objects.get()
    looking = only_looking()

    assert looking.post(f"{KEYS}add/", {"client": poster.pk, "name": ""}).status_code == 403
    looking.post(KEYS, chosen_rows(key.pk, action="revoke"))

    key.refresh_from_db()
    assert key.revoked_at is None
    assert ApiKey.objects.count() == 1


def chosen_rows(*keys: object, action: str) -> dict[str, object]:
    return {"action": action, "_selected_action": [str(key) for key in keys]}


# --- lanes and workers -----------------------------------------------------------------------------------


def test_a_paused_lane_is_seen_and_resumed(browser: Browser, operator: User) -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "429: <too> many requests")
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")
    answer = shown(browser, "/admin/notifications/lanestate/")
    assert ">paused</span>" in answer
    assert "429: &lt;too&gt; many requests" in answer

    browser.post("/admin/notifications/lanestate/", chosen_rows("slack:ops", action="resume"))

    assert [state.lane for state in LaneState.objects.all()] == ["sms"]
    assert LogEntry.objects.get().object_id == "slack:ops"


def test_a_lane_is_not_resumed_by_who_may_only_look() -> None:
    lanes.pause("slack:ops", timedelta(minutes=5), "429")

    browser = only_looking()
    browser.post("/admin/notifications/lanestate/", chosen_rows("slack:ops", action="resume"))
    assert browser.get("/admin/notifications/lanestate/add/").status_code == 403

    assert LaneState.objects.count() == 1


def pausing(lane: str, **fields: str) -> dict[str, str]:
    return {"which": lane, "because": "maintenance", "until_0": "", "until_1": "", **fields}


def test_an_operator_pauses_a_channel_which_is_seen_audited_and_resumed(browser: Browser, operator: User) -> None:
    lanes.pause("sms", timedelta(minutes=5), "20003: refused")

    browser.post("/admin/notifications/lanestate/add/", pausing("sms", until_0="2040-01-02", until_1="03:04:05"))

    state = LaneState.objects.get()
    assert (state.lane, state.stopped_by, state.reason) == ("sms", operator.get_username(), "20003: refused")
    assert state.stopped_until == datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    answer = shown(browser, "/admin/notifications/lanestate/")
    assert ">paused by an operator</span>" in answer
    assert f"maintenance ({operator.get_username()})" in answer
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message) == ("sms", "Paused: maintenance")
    browser.post("/admin/notifications/lanestate/", chosen_rows("sms", action="resume"))
    assert not LaneState.objects.exists()


def test_a_lane_that_is_none_is_not_paused_and_the_form_says_why(browser: Browser) -> None:
    answer = browser.post(
        "/admin/notifications/lanestate/add/", pausing("slak", until_0="2020-01-02", until_1="03:04:05")
    ).content.decode()

    assert "It must begin with a channel" in answer
    assert "It must be in the future" in answer
    assert not LaneState.objects.exists()


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


# --- webhooks --------------------------------------------------------------------------------------------


def test_a_clients_webhooks_are_listed_without_secret_and_query(browser: Browser, poster: Client) -> None:
    webhook = WebhookEndpointFactory(client=poster, url="https://example.com/notified?key=h1dden", events=["failed"])

    pages = [
        shown(browser, f"/admin/notifications/client/{poster.pk}/change/"),
        shown(browser, WEBHOOKS),
        shown(browser, f"{WEBHOOKS}{webhook.pk}/change/"),
    ]

    for page_ in pages:
        assert "https://example.com/notified?•••" in page_
        assert "h1dden" not in page_
        assert webhook.secret not in page_
        assert webhook.secret[6:] not in page_


def test_a_webhook_is_deactivated_and_that_is_noted(browser: Browser, operator: User, poster: Client) -> None:
    webhook, other = WebhookEndpointFactory(client=poster), WebhookEndpointFactory(client=poster)

    browser.post(WEBHOOKS, {"action": "deactivate", "_selected_action": [str(webhook.pk)]}, follow=True)

    webhook.refresh_from_db()
    other.refresh_from_db()
    assert (webhook.is_active, webhook.disabled_reason) == (False, "an operator switched it off")
    assert other.is_active
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(webhook.pk))


def test_a_webhook_is_not_deactivated_by_who_may_only_look(poster: Client) -> None:
    webhook = WebhookEndpointFactory(client=poster)

    only_looking().post(WEBHOOKS, {"action": "deactivate", "_selected_action": [str(webhook.pk)]})

    webhook.refresh_from_db()
    assert webhook.is_active


def test_the_site_has_its_name(browser: Browser) -> None:
    answer = shown(browser, "/admin/")

    assert "<title> Operations | Notifier" in " ".join(answer.split())
    assert re.search(r">\s*Notifier\s*<", answer)


@pytest.mark.parametrize("model", ["client", "apikey", "lanestate", "worker", "notification", "suppression"])
def test_every_list_opens_when_it_is_empty(browser: Browser, model: str) -> None:
    Client.objects.all().delete()

    assert "0 " in shown(browser, f"/admin/notifications/{model}/")


def test_the_admin_is_closed_to_strangers(client: Browser) -> None:
    reach: Callable[[str], int] = lambda address: client.get(address).status_code  # noqa: E731

    assert [reach(address) for address in (LIST, KEYS, url(uuid4()))] == [302, 302, 302]
