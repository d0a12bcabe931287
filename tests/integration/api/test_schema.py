from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client as HttpClient


@pytest.fixture(scope="module")
def schema() -> Any:
    answer = HttpClient().get("/api/schema", {"format": "json"})
    assert answer.status_code == 200
    return json.loads(answer.content)


def test_the_schema_is_valid_and_nothing_in_it_is_guessed() -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=io.StringIO())


def test_the_schema_names_each_address_once(schema: Any) -> None:
    assert schema["openapi"].startswith("3.1")
    assert {path: set(methods) for path, methods in schema["paths"].items()} == {
        "/api/v1/notifications": {"get", "post"},
        "/api/v1/notifications/batch": {"post"},
        "/api/v1/notifications/{id}": {"get"},
        "/api/v1/notifications/{id}/resend": {"post"},
        "/api/v1/notifications/{id}/cancel": {"post"},
        "/api/v1/notifications/{id}/reschedule": {"post"},
        "/api/v1/slack": {"post"},
        "/api/v1/mail": {"post"},
        "/api/v1/sms": {"post"},
        "/api/v1/webhooks": {"get", "post"},
        "/api/v1/webhooks/{id}": {"get", "patch", "delete"},
        "/api/v1/webhooks/{id}/rotate": {"post"},
    }


def test_the_schema_says_what_webhooks_are_told(schema: Any) -> None:
    assert list(schema["webhooks"]) == [f"notification.{event}" for event in ("sent", "delivered", "failed", "unknown")]
    for told in schema["webhooks"].values():
        assert told["post"]["requestBody"]["content"]["application/json"]["examples"]


def test_clients_are_not_offered_the_channel_of_webhooks(schema: Any) -> None:
    channel = schema["components"]["schemas"]["NewNotificationRequest"]["properties"]["channel"]
    [named] = channel["allOf"]

    enum = schema["components"]["schemas"][named["$ref"].rpartition("/")[2]]
    assert enum["enum"] == ["slack", "email", "sms"]


def test_every_operation_wants_an_api_key(schema: Any) -> None:
    assert schema["components"]["securitySchemes"]["ApiKey"] | {"description": ""} == {
        "type": "http",
        "scheme": "bearer",
        "description": "",
    }
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["security"] == [{"ApiKey": []}]


@pytest.mark.parametrize("path", ["notifications", "slack", "mail", "sms"])
def test_accepts_tell_their_headers_their_problems_and_an_example(schema: Any, path: str) -> None:
    operation = schema["paths"][f"/api/v1/{path}"]["post"]

    headers = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert headers["Idempotency-Key"]["required"] is True
    assert "X-Correlation-ID" in headers
    assert set(operation["responses"]) >= {"202", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"}
    limits = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    assert set(operation["responses"]["202"]["headers"]) == limits | {
        "Location",
        "Idempotency-Key",
        "Idempotent-Replayed",
        "X-Correlation-ID",
    }
    for status, response in operation["responses"].items():
        if status != "202":
            assert set(response["content"]) == {"application/problem+json"}
    assert operation["requestBody"]["content"]["application/json"]["examples"]


def test_swagger_ui_runs_from_our_own_files_under_a_strict_policy() -> None:
    page = HttpClient().get("/api/docs")
    html = page.content.decode()

    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert not re.findall(r"<script(?![^>]*\ssrc=)", html)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    for address in addresses:
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")), address


def test_swagger_uis_start_script_is_a_file() -> None:
    script = HttpClient().get("/api/docs", {"script": ""})
    assert script.status_code == 200
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/schema" in script.content.decode()
