"""What a test key is answered, sees and changes: its own kind and nothing of the live one, and the other way round."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django import Settings

from channels import sandbox
from notifications import services
from notifications.api.throttling import throttle
from notifications.credentials import Scope
from notifications.models import ApiKey, Client, IdempotencyRecord, Listing, Notification
from notifications.outbox.listing import LOOK
from notifications.services import NoSandbox, NotificationRequest
from tests.factories import NotificationFactory

from .callers import SMS, Caller

LIST = "/api/v1/notifications"
SLACK = {"channel": "slack", "to": "ops", "message": "hello"}
MAIL = {"message": "hello", "subject": "Hi", "send_to": "ann@example.com"}


def with_sandbox(settings: Settings, webhooks: list[str]) -> None:
    played = sandbox.options("http://127.0.0.1:9", 9, webhooks)
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**known[name], "sandbox": played.get(name)} for name in known}


@pytest.fixture(autouse=True)
def sandbox_configured(settings: Settings, every_channel_configured: None) -> None:
    with_sandbox(settings, ["default", "ops"])


@pytest.fixture
def tester(caller: Caller) -> Caller:
    """The same client, with a test key."""
    return Caller(caller.client, services.create_api_key(caller.client, test=True).text)


def told(answer: Any, status: int = 202) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    body: dict[str, Any] = json.loads(answer.content)
    return body


def ids(caller: Caller, **query: str) -> set[str]:
    return {row["id"] for row in told(caller.get(LIST, **query), 200)["results"]}


def pair(caller: Caller, **fields: Any) -> tuple[Notification, Notification]:
    """A live one and a test one of the same client."""
    live = NotificationFactory(client=caller.client, **fields)
    return live, NotificationFactory(client=caller.client, lane="~test:sms", **fields)


# --- accepting ---------------------------------------------------------------------------------------------


def test_what_a_test_key_asks_for_is_marked_and_has_a_lane_of_its_own(tester: Caller) -> None:
    assert told(tester.post(LIST, SLACK))["test"] is True
    assert told(tester.post("/api/v1/sms", SMS))["test"] is True
    batch = told(tester.post(f"{LIST}/batch", {"notifications": [SLACK, {"channel": "slack", "message": "hello"}]}))
    assert [each["test"] for each in batch["notifications"]] == [True, True]

    lanes = Notification.objects.order_by("id").values_list("lane", flat=True)
    assert list(lanes) == ["~test:slack:ops", "~test:sms", "~test:slack:ops", "~test:slack:default"]


def test_a_live_answer_says_nothing_of_tests(caller: Caller) -> None:
    assert "test" not in told(caller.post("/api/v1/sms", SMS))
    assert "test" not in told(caller.post(f"{LIST}/batch", {"notifications": [SLACK]}))["notifications"][0]


def test_a_test_is_replayed_by_its_key_byte_for_byte(tester: Caller) -> None:
    first, again = (tester.post("/api/v1/sms", SMS, key="k") for _ in range(2))

    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 1


def test_keys_of_tests_and_of_live_requests_do_not_meet(caller: Caller, tester: Caller) -> None:
    batch = {"notifications": [SLACK]}
    for path, body in (("/api/v1/sms", SMS), (f"{LIST}/batch", batch)):
        test, live = (told(who.post(path, body, key="k")) for who in (tester, caller))
        assert test != live
    other = told(caller.post("/api/v1/sms", {**SMS, "message": "another"}, key="k"), 422)
    assert other["code"] == "idempotency_key_reused"

    assert Notification.objects.filter(lane__startswith="~test:").count() == Notification.objects.count() // 2 == 2
    assert set(IdempotencyRecord.objects.values_list("operation", flat=True)) == {
        *("POST /api/v1/sms", "test POST /api/v1/sms"),
        *(f"POST {LIST}/batch", f"test POST {LIST}/batch"),
    }


def test_a_recipient_is_validated_as_usual(tester: Caller) -> None:
    for path, body, field in (
        ("/api/v1/sms", {**SMS, "send_to_number": "123"}, "send_to_number"),
        ("/api/v1/mail", {**MAIL, "send_to": "ann"}, "send_to"),
        (LIST, {**SLACK, "to": "nobody"}, "to"),
        (LIST, {**SLACK, "channel": "pigeon"}, "channel"),
    ):
        problem = told(tester.post(path, body), 400)
        assert [error["field"] for error in problem["errors"]] == [field]
    assert not Notification.objects.exists()


def test_a_channel_without_a_provider_takes_tests_and_nothing_live(
    caller: Caller, tester: Caller, settings: Settings
) -> None:
    known = settings.NOTIFIER_CHANNELS
    sms = {**known["sms"], "account_sid": "", "auth_token": "", "from_number": ""}
    settings.NOTIFIER_CHANNELS = {**known, "sms": sms}

    assert told(caller.post("/api/v1/sms", SMS), 400)["errors"][0]["code"] == "channel_not_configured"
    assert told(tester.post("/api/v1/sms", SMS))["test"] is True


def test_tests_count_towards_the_clients_limit(caller: Caller, tester: Caller) -> None:
    throttle.forget()
    Client.objects.filter(pk=caller.client.pk).update(rate_limit=40)

    told(tester.post(f"{LIST}/batch", {"notifications": [SLACK] * 30}))
    assert told(caller.post(f"{LIST}/batch", {"notifications": [SLACK] * 30}), 429)["code"] == "throttled"
    throttle.forget()


# --- without a sandbox -------------------------------------------------------------------------------------


def test_without_a_sandbox_a_test_key_is_told_so_and_nothing_is_stored(
    caller: Caller, tester: Caller, settings: Settings
) -> None:
    configured = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**entry, "sandbox": None} for name, entry in configured.items()}

    for path, body in (("/api/v1/sms", SMS), (LIST, SLACK), (f"{LIST}/batch", {"notifications": [SLACK]})):
        problem = told(tester.post(path, body, key="k"), 403)
        assert problem["code"] == "sandbox_not_configured"
    assert not Notification.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    told(caller.post("/api/v1/sms", SMS))

    settings.NOTIFIER_CHANNELS = configured
    told(tester.post("/api/v1/sms", SMS, key="k"))


def test_what_was_accepted_is_replayed_though_the_sandbox_is_gone(tester: Caller, settings: Settings) -> None:
    first = tester.post("/api/v1/sms", SMS, key="k")
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**entry, "sandbox": None} for name, entry in known.items()}

    assert told(tester.post("/api/v1/sms", SMS, key="new"), 403)["code"] == "sandbox_not_configured"
    assert tester.post("/api/v1/sms", SMS, key="k").content == first.content


# --- reading and changing ----------------------------------------------------------------------------------


def test_each_kind_of_key_lists_its_own_kind(caller: Caller, tester: Caller) -> None:
    live, test = pair(caller)

    assert (ids(caller), ids(tester)) == ({str(live.id)}, {str(test.id)})
    assert (ids(caller, channel="sms"), ids(tester, status="pending")) == ({str(live.id)}, {str(test.id)})


@pytest.mark.parametrize(
    "query",
    [
        *({}, {"to": "+14155552671"}, {"correlation_id": "order-42"}, {"metadata[order]": "42"}),
        *({"status": "failed"}, {"channel": "sms", "status": "failed"}, {"since": "2026-01-01T00:00:00Z"}),
    ],
)
def test_each_kind_of_key_finds_its_own_kind_by_every_filter(
    caller: Caller, tester: Caller, query: dict[str, str]
) -> None:
    live, test = pair(caller, status="failed", correlation_id="order-42", metadata={"order": 42})

    assert (ids(caller, **query), ids(tester, **query)) == ({str(live.id)}, {str(test.id)})


def test_a_page_of_tests_does_not_walk_past_the_live_ones(caller: Caller, tester: Caller) -> None:
    _, test = pair(caller)
    NotificationFactory.create_batch(3, client=caller.client)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO listing (client_id, id, recipient, correlation)"
            " SELECT %s, (lpad(to_hex(%s + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, 0, 0"
            " FROM generate_series(1, %s) AS n",
            [caller.client.pk, int(datetime.now(UTC).timestamp() * 1000), LOOK + 1],
        )

    page = told(tester.get(LIST), 200)
    assert ([row["id"] for row in page["results"]], page["next"]) == ([str(test.id)], None)
    assert told(caller.get(LIST), 200)["results"] == []  # else there would be nothing to walk past


def test_each_kind_of_key_resends_its_own_kind_by_filter(caller: Caller, tester: Caller) -> None:
    live, test = pair(caller, status="failed")

    for who, own in ((tester, test), (caller, live)):
        answer = told(who.post(f"{LIST}/resend", {}, key="k"))
        assert answer == {"resent": [str(own.id)], "next_cursor": None}


def test_each_kind_of_key_reads_its_own_kind_and_is_told_which(caller: Caller, tester: Caller) -> None:
    live, test = pair(caller)

    assert told(caller.get(f"{LIST}/{live.id}"), 200)["test"] is False
    assert told(tester.get(f"{LIST}/{test.id}"), 200)["test"] is True
    assert told(caller.get(f"{LIST}/{test.id}"), 404)["code"] == "not_found"
    assert told(tester.get(f"{LIST}/{live.id}"), 404)["code"] == "not_found"


@pytest.mark.parametrize(("name", "status"), [("resend", "failed"), ("cancel", "pending"), ("reschedule", "pending")])
def test_each_kind_of_key_changes_its_own_kind(caller: Caller, tester: Caller, name: str, status: str) -> None:
    live, test = pair(caller, status=status)
    body = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()} if name == "reschedule" else {}

    for who, own, others in ((caller, live, test), (tester, test, live)):
        assert told(who.post(f"{LIST}/{others.id}/{name}", body, key="k"), 404)["code"] == "not_found"
        changed = who.post(f"{LIST}/{own.id}/{name}", body, key="k")
        assert changed.status_code in {200, 202}, changed.content
        assert json.loads(changed.content)["test"] is (who is tester)

    assert Notification.objects.get(id=test.id).lane == "~test:sms"
    operations = IdempotencyRecord.objects.values_list("operation", flat=True)
    assert sorted(operation.startswith("test ") for operation in operations) == [False, True]


# --- in-process, and the commands --------------------------------------------------------------------------


def test_in_process_a_test_is_asked_for_by_name(caller: Caller, settings: Settings) -> None:
    request = NotificationRequest(channel="sms", to="+14155552671", message="hello")
    with transaction.atomic():
        live = services.accept(caller.client, request, key="k")
        test = services.accept(caller.client, request, key="k", test=True)
        many = services.accept_batch(caller.client, [request], key="k2", test=True)

    lanes = [Notification.objects.get(id=each.notification_ids[0]).lane for each in (many,)]
    lanes += [Notification.objects.get(id=each.notification_id).lane for each in (live, test)]
    assert lanes == ["~test:sms", "sms", "~test:sms"]

    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "sms": {**known["sms"], "sandbox": None}}
    with pytest.raises(NoSandbox, match="sms has no sandbox"):
        services.accept(caller.client, request, key="k3", test=True)


def made(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("create_api_key", "acme", *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue()


@pytest.mark.django_db
def test_the_command_makes_test_keys_that_can_be_told_by_their_beginning() -> None:
    text, warning = made("--test", "--scope", "send")

    key = ApiKey.objects.get()
    assert text.startswith(f"nk_test_{key.prefix}_")
    assert str(key) == f"nk_test_{key.prefix}_…"
    assert (key.is_test, key.scopes, warning) == (True, [Scope.SEND.value], "")

    text, _ = made()
    assert not text.startswith("nk_test_")
    assert not ApiKey.objects.latest("id").is_test


@pytest.mark.django_db
def test_the_command_warns_where_no_sandbox_is_configured(settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**entry, "sandbox": None} for name, entry in known.items()}

    assert "SANDBOX_URL" in made("--test")[1]
    assert made()[1] == ""


@pytest.mark.django_db
def test_the_key_in_a_file_is_live(tmp_path: Any) -> None:
    with pytest.raises(CommandError, match="is live"):
        made("--test", "--ensure-from-file", str(tmp_path / "key"))
    assert not ApiKey.objects.exists()


def test_the_books_and_the_purge_take_tests_as_any_other(tester: Caller) -> None:
    id_ = told(tester.post("/api/v1/sms", SMS))["id"]
    out = io.StringIO()
    call_command("check_outbox", "--json", stdout=out)
    books = json.loads(out.getvalue())
    assert (books["balanced"], [lane["lane"] for lane in books["lanes"]]) == (True, ["~test:sms"])

    told(tester.post(f"{LIST}/{id_}/cancel", {}), 200)
    long_ago = datetime.now(UTC) - timedelta(days=400)
    Notification.objects.update(finished_at=long_ago, created_at=long_ago)
    IdempotencyRecord.objects.update(created_at=long_ago)
    # By the time in its id it is new; a purge looks at ids.
    first = str(id_)
    Notification.objects.filter(id=first).update(id=f"{'0' * 8}{first[8:]}")
    Listing.objects.update(id=f"{'0' * 8}{first[8:]}")
    call_command("purge_notifications", stdout=io.StringIO())
    assert not Notification.objects.exists()
    assert not Listing.objects.exists()
