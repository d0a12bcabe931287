"""What a key allows its holder, and no more."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpResponse

from notifications import services
from notifications.api import viewsets
from notifications.api.urls import router
from notifications.credentials import Scope
from notifications.models import ApiKey, Client, Notification
from tests.factories import NotificationFactory, WebhookEndpointFactory

from .callers import SMS, Caller

EVERY_SET = [set(some) for size in range(len(Scope) + 1) for some in combinations(Scope, size)]


def with_scopes(caller: Caller, *scopes: Scope) -> Caller:
    return Caller(caller.client, services.create_api_key(caller.client, scopes=scopes).text)


def asked(caller: Caller, scope: Scope) -> list[HttpResponse]:
    """Everything that a scope is for."""
    pending = NotificationFactory(client=caller.client, status="pending")
    failed = NotificationFactory(client=caller.client, status="failed")
    webhook = WebhookEndpointFactory(client=caller.client)
    later = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    match scope:
        case Scope.SEND:
            one = {"channel": "sms", "to": "+14155552671", "message": "hello"}
            return [
                caller.post("/api/v1/sms", SMS),
                caller.post("/api/v1/slack", {"message": "hello"}),
                caller.post("/api/v1/mail", {"message": "hello", "subject": "s", "send_to": "ann@example.com"}),
                caller.post("/api/v1/notifications", one),
                caller.post("/api/v1/notifications/batch", {"notifications": [one]}),
            ]
        case Scope.READ:
            return [
                caller.get("/api/v1/notifications"),
                caller.get(f"/api/v1/notifications/{failed.id}"),
                caller.get("/api/v1/webhooks"),
                caller.get(f"/api/v1/webhooks/{webhook.id}"),
            ]
        case Scope.MANAGE:
            return [
                caller.post("/api/v1/webhooks", {"url": f"https://example.com/{uuid4()}"}),
                caller.patch(f"/api/v1/webhooks/{webhook.id}", {"is_active": False}),
                caller.post(f"/api/v1/webhooks/{webhook.id}/rotate", {}),
                caller.delete(f"/api/v1/webhooks/{webhook.id}"),
                caller.post(f"/api/v1/notifications/{failed.id}/resend", {}),
                caller.post(f"/api/v1/notifications/{pending.id}/reschedule", later),
                caller.post(f"/api/v1/notifications/{pending.id}/cancel", {}),
            ]


@pytest.mark.parametrize("scopes", EVERY_SET, ids=lambda scopes: "+".join(sorted(scopes)) or "none")
def test_a_key_opens_what_its_scopes_are_for_and_nothing_else(caller: Caller, scopes: set[Scope]) -> None:
    limited = with_scopes(caller, *scopes)

    for scope in Scope:
        for answer in asked(limited, scope):
            if scope in scopes:
                assert answer.status_code in {200, 201, 202, 204}, answer.content
            else:
                told = json.loads(answer.content)
                assert (answer.status_code, told["code"]) == (403, "scope_missing")
                assert scope.value in told["detail"]


def test_what_is_refused_changes_nothing(caller: Caller) -> None:
    reader = with_scopes(caller, Scope.READ)

    assert reader.post("/api/v1/sms", SMS, key="k").status_code == 403

    assert not Notification.objects.exists()
    assert "Idempotent-Replayed" not in caller.post("/api/v1/sms", SMS, key="k")


def test_every_address_has_its_scope() -> None:
    for _, viewset, _ in router.registry:
        actions = {each.__name__ for each in viewset.get_extra_actions()}
        of_rest = ("create", "list", "retrieve", "update", "partial_update", "destroy")
        actions |= {name for name in of_rest if hasattr(viewset, name)}
        assert actions == viewset.scopes.keys(), viewset


def test_a_viewset_without_scopes_is_closed(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewsets.SmsViewSet, "scopes", {})

    assert caller.post("/api/v1/sms", SMS).status_code == 403


def test_a_method_that_an_address_does_not_take_is_said_to_any_key(caller: Caller) -> None:
    nobody = with_scopes(caller)

    answer = nobody.http.delete("/api/v1/notifications", headers={"Authorization": f"Bearer {nobody.key}"})

    assert answer.status_code == 405


# --- the command -------------------------------------------------------------------------------------------


def made(*arguments: str) -> ApiKey:
    out = io.StringIO()
    call_command("create_api_key", "acme", *arguments, stdout=out)
    assert out.getvalue().startswith("nk_")
    return ApiKey.objects.latest("id")


@pytest.mark.django_db
def test_the_command_makes_keys_that_allow_all_or_what_it_says() -> None:
    assert made().scopes == ["send", "read", "manage"]
    assert made("--scope", "read").scopes == ["read"]
    assert made("--scope", "manage", "--scope", "send").scopes == ["send", "manage"]
    assert made("--expires", "2130-01-31T09:30+01:00").expires_at == datetime(2130, 1, 31, 8, 30, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scope", "everything"], "invalid choice: 'everything'"),
        (["--expires", "tomorrow"], "'tomorrow' is not an ISO 8601 time"),
        (["--expires", "2001-01-01"], "must be in the future"),
    ],
)
def test_the_command_says_what_to_mend_and_makes_nothing(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        made(*arguments)
    assert not Client.objects.exists()


@pytest.mark.django_db
def test_a_key_in_a_file_is_whole(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="allows everything"):
        made("--scope", "read", "--ensure-from-file", str(tmp_path / "key"))
    assert not Client.objects.exists()
