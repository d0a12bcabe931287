from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client as HttpClient
from jsonschema import Draft202012Validator

from notifications.api.kinds import KINDS
from notifier.environment import BASE_DIR


@pytest.fixture(scope="module")
def schema() -> Any:
    answer = HttpClient().get("/api/schema", {"format": "json"})
    assert answer.status_code == 200
    return json.loads(answer.content)


def told(schema: Any, part: Any) -> Any:
    """The part, or what it refers to."""
    while "$ref" in part:
        named = schema
        for name in part["$ref"].removeprefix("#/").split("/"):
            named = named[name]
        part = named
    return part


def operations(schema: Any) -> list[Any]:
    return [operation for methods in schema["paths"].values() for operation in methods.values()]


def test_the_schema_is_valid_and_nothing_in_it_is_guessed() -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=io.StringIO())


def test_the_schema_in_docs_is_that_of_the_code(tmp_path: Path) -> None:
    call_command("spectacular", "--file", str(tmp_path / "openapi.yaml"))

    written, kept = ((folder / "openapi.yaml").read_bytes() for folder in (tmp_path, BASE_DIR / "docs"))
    assert written == kept, "docs/openapi.yaml is not what the code says: run `make schema` and look at the difference"


def test_the_server_gives_the_same_schema(schema: Any) -> None:
    assert schema == yaml.safe_load((BASE_DIR / "docs/openapi.yaml").read_text())


def test_the_schema_names_each_address_once(schema: Any) -> None:
    assert schema["openapi"].startswith("3.1")
    assert {path: set(methods) for path, methods in schema["paths"].items()} == {
        "/api/v1/notifications": {"get", "post"},
        "/api/v1/notifications/batch": {"post"},
        "/api/v1/notifications/resend": {"post"},
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
    offered = schema["components"]["schemas"]["NewNotificationRequest"]["discriminator"]["mapping"]

    assert list(offered) == ["slack", "email", "sms", "apprise"]


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

    parameters = [told(schema, parameter) for parameter in operation["parameters"]]
    headers = {parameter["name"]: parameter for parameter in parameters}
    assert headers["Idempotency-Key"]["required"] is True
    assert {"X-Correlation-ID", "traceparent"} < set(headers)
    assert set(operation["responses"]) >= {"202", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"}
    limits = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    assert set(operation["responses"]["202"]["headers"]) == limits | {
        "Location",
        "Idempotency-Key",
        "Idempotent-Replayed",
        "X-Correlation-ID",
    }
    assert operation["requestBody"]["required"] is True
    assert operation["requestBody"]["content"]["application/json"]["examples"]


def test_every_problem_is_told_by_its_own_schema_with_an_example_of_each_code(schema: Any) -> None:
    codes = set()
    for operation in operations(schema):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            content = told(schema, response)["content"]
            assert set(content) == {"application/problem+json"}
            for example in content["application/problem+json"]["examples"].values():
                value = told(schema, example)["value"]
                assert str(value["status"]) == status
                codes.add(value["code"])
    # Those that no operation of the schema answers: of other addresses, methods and callers.
    assert set(KINDS) - codes == {"forbidden", "forged_receipt", "method_not_allowed"}


@pytest.mark.parametrize(
    ("statuses", "header"),
    [({"401"}, "WWW-Authenticate"), ({"429", "503"}, "Retry-After")],
)
def test_what_a_problem_always_comes_with_is_required(schema: Any, statuses: set[str], header: str) -> None:
    for operation in operations(schema):
        for status in statuses:
            headers = told(schema, operation["responses"][status])["headers"]
            assert told(schema, headers[header])["required"] is True


def test_every_answer_has_its_correlation_id(schema: Any) -> None:
    for operation in operations(schema):
        for response in operation["responses"].values():
            assert told(schema, told(schema, response)["headers"]["X-Correlation-ID"])["required"] is True


def test_a_page_is_one_object(schema: Any) -> None:
    content = schema["paths"]["/api/v1/notifications"]["get"]["responses"]["200"]["content"]["application/json"]
    assert told(schema, content["schema"])["type"] == "object"


def test_no_body_may_have_members_that_the_schema_does_not_know(schema: Any) -> None:
    bodies = {name: part for name, part in schema["components"]["schemas"].items() if name.endswith("Request")}

    assert len(bodies) >= 9
    assert all(body.get("additionalProperties") is False or "oneOf" in body for body in bodies.values())


def test_every_request_in_an_example_is_as_its_schema_says(schema: Any) -> None:
    examples = 0
    for operation in operations(schema):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            Draft202012Validator({**content["schema"], "components": schema["components"]}).validate(example["value"])
            examples += 1
    assert examples >= 5


def test_what_can_be_done_next_is_linked(schema: Any) -> None:
    links = schema["paths"]["/api/v1/slack"]["post"]["responses"]["202"]["links"]
    assert {name: told(schema, link)["operationId"] for name, link in links.items()} == {
        "Read": "notifications_retrieve",
        "Resend": "notifications_resend_create",
        "Cancel": "notifications_cancel_create",
        "Reschedule": "notifications_reschedule_create",
    }


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
