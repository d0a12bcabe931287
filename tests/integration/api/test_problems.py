"""Whatever goes wrong under /api/ is told as a problem, and elsewhere as Django's pages do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.db import ProgrammingError, connection
from django.http import HttpResponse
from django.test import Client as HttpClient
from pytest_django import Settings
from structlog.testing import capture_logs

from tests.factories import NotificationFactory
from tests.processes import web

from .callers import Caller

LIST = "/api/v1/notifications"


def code_of(answer: HttpResponse) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.content)
    assert body["status"] == answer.status_code
    assert body["correlation_id"] == answer.headers["X-Correlation-ID"]
    return str(body["code"])


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v2/slack", "/api/v1/slack/x"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_address_is_a_problem(settings: Settings, method: str, path: str, debug: bool) -> None:
    settings.DEBUG = debug
    answer = getattr(HttpClient(enforce_csrf_checks=True), method)(path)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_another_method_is_a_problem_that_says_which_are_allowed(caller: Caller, method: str) -> None:
    answer = getattr(HttpClient(), method)(LIST, headers={"Authorization": f"Bearer {caller.key}"})

    assert (answer.status_code, code_of(answer)) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(("path", "allowed"), [(LIST, "GET, POST, HEAD, OPTIONS"), (f"{LIST}/batch", "POST, OPTIONS")])
def test_who_asks_what_an_address_takes_is_told(caller: Caller, path: str, allowed: str) -> None:
    answer = HttpClient().options(path, headers={"Authorization": f"Bearer {caller.key}"})

    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, allowed, b"")


def test_who_asks_without_a_key_is_told_nothing() -> None:
    answer = HttpClient().options(LIST)
    assert (answer.status_code, code_of(answer)) == (401, "unauthenticated")


def test_an_answer_that_is_not_json_cannot_be_had(caller: Caller) -> None:
    answer = HttpClient().get(LIST, headers={"Authorization": f"Bearer {caller.key}", "Accept": "text/html"})
    assert (answer.status_code, code_of(answer)) == (406, "not_acceptable")


@pytest.fixture
def no_attempts(transactional_db: None) -> Iterator[None]:
    """A table that our code relies on is not there: what nobody foresees."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE attempt RENAME TO elsewhere")
        yield
        cursor.execute("ALTER TABLE elsewhere RENAME TO attempt")


@pytest.mark.parametrize("debug", [False, True])
def test_a_panic_is_told_without_a_word_of_its_cause_and_logged_with_it(
    no_attempts: None, caller: Caller, settings: Settings, debug: bool
) -> None:
    settings.DEBUG = debug
    one = NotificationFactory(client=caller.client)
    with capture_logs() as logs:
        answer = caller.get(f"{LIST}/{one.id}")

    assert (answer.status_code, code_of(answer)) == (500, "internal_error")
    for word in (b"does not exist", b"SELECT", b"Traceback", b"ProgrammingError"):
        assert word not in answer.content
    [panic] = [line for line in logs if line["event"] == "panic"]
    assert isinstance(panic["exc_info"], ProgrammingError)


def test_a_foreign_host_is_a_problem_under_api() -> None:
    answer = HttpClient().get(LIST, headers={"Host": "evil.example"})
    assert (answer.status_code, code_of(answer)) == (400, "bad_request")


@pytest.fixture
def debugged(transactional_db: None) -> Iterator[str]:
    with web(DEBUG="on") as (_, url):
        yield url


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_with_debug_on_nothing_of_ours_leaves_by_a_call(debugged: str, accept: str) -> None:
    answers = [
        requests.get(f"{debugged}{LIST}", headers={"Host": "evil.example", "Accept": accept}, timeout=10),
        requests.post(f"{debugged}/api/v1/nothing", headers={"Accept": accept}, timeout=10),
    ]
    told = [(answer.status_code, answer.headers["Content-Type"], answer.json()["code"]) for answer in answers]

    assert told == [
        (400, "application/problem+json", "bad_request"),
        (404, "application/problem+json", "not_found"),
    ]
    for answer in answers:
        assert not re.search("Traceback|site-packages|DisallowedHost|SECRET|INSTALLED_APPS|<html", answer.text)


def test_with_debug_on_a_panic_while_the_answer_is_rendered_is_a_problem(caller: Caller) -> None:
    one = NotificationFactory(client=caller.client, metadata={"order": 42})
    with web(DEBUG="on") as (_, url), connection.cursor() as cursor:
        # A number that Python takes for infinite, which no JSON can say: found only when the page is written.
        cursor.execute(
            "UPDATE notification SET metadata = jsonb_build_object('n', 1e400 + 0.5) WHERE id = %s", [one.id]
        )
        headers = {"Authorization": f"Bearer {caller.key}"}
        answer = requests.get(f"{url}{LIST}", headers=headers, timeout=10)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "Traceback" not in answer.text


def test_elsewhere_a_missing_page_is_a_page() -> None:
    answer = HttpClient().get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_the_type_of_a_problem_leads_to_its_explanation() -> None:
    answer = HttpClient().get("/api/v1/nothing")
    page, _, anchor = json.loads(answer.content)["type"].partition("#")

    explained = HttpClient().get(page)
    assert explained.status_code == 200
    assert f'id="{anchor}"' in explained.content.decode()


def test_the_way_in_links_to_everything() -> None:
    page = HttpClient().get("/").content.decode()
    assert all(f'href="{path}' in page for path in ("/api/docs", "/api/schema", "/admin/", "/problems", "/readyz"))
