from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.test import RequestFactory
from rest_framework import exceptions
from structlog.testing import capture_logs

from notifications import services
from notifications.api.kinds import KINDS
from notifications.api.problems import CONTENT_TYPE, Problem, exception_handler


def told(error: Exception) -> tuple[HttpResponse, dict[str, Any]]:
    request = RequestFactory().get("/api/v1/notifications")
    request.correlation_id = "c-1"  # type: ignore[attr-defined]
    response = exception_handler(error, {"request": request})
    return response, json.loads(response.content)


def test_a_problem_has_every_member_of_the_contract() -> None:
    response, body = told(Problem("idempotency_key_missing", "Send one."))
    assert response.headers["Content-Type"] == CONTENT_TYPE
    assert body == {
        "type": "/problems#idempotency_key_missing",
        "title": "The Idempotency-Key header is missing",
        "status": 400,
        "detail": "Send one.",
        "code": "idempotency_key_missing",
        "correlation_id": "c-1",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (services.Refused(services.Problem("to", "not_e164", "x")), 400, "invalid"),
        (services.KeyReused(), 422, "idempotency_key_reused"),
        (services.KeyInUse(), 409, "idempotency_key_in_use"),
        (services.Unavailable(), 503, "unavailable"),
        (OperationalError("no route to host db.internal"), 503, "unavailable"),
        (InterfaceError("connection already closed"), 503, "unavailable"),
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "forbidden"),
        (exceptions.NotAuthenticated(), 401, "unauthenticated"),
        (exceptions.AuthenticationFailed(), 401, "unauthenticated"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (exceptions.ParseError(), 400, "malformed_json"),
        (exceptions.Throttled(), 429, "throttled"),
        (exceptions.ValidationError({"to": ["x"]}), 400, "invalid"),
        (exceptions.APIException("whatever"), 500, "internal_error"),
        (IntegrityError("duplicate key value (secret)=(1)"), 500, "internal_error"),
        (KeyError("secret"), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_becomes_a_problem_of_its_kind(error: Exception, status: int, code: str) -> None:
    response, body = told(error)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert KINDS[code].status == status


def test_a_wait_is_told_in_whole_seconds() -> None:
    assert told(exceptions.Throttled(wait=2.6))[0].headers["Retry-After"] == "3"
    assert told(exceptions.Throttled(wait=0.1))[0].headers["Retry-After"] == "1"
    assert told(services.KeyInUse())[0].headers["Retry-After"] == "1"


def test_an_unavailable_service_says_when_to_come_back() -> None:
    assert int(told(OperationalError())[0].headers["Retry-After"]) >= 1


def test_nested_fields_are_named_by_their_path() -> None:
    error = exceptions.ValidationError(
        {"metadata": {"order": [exceptions.ErrorDetail("bad", "wrong")]}, "non_field_errors": ["all wrong"]}
    )
    assert told(error)[1]["errors"] == [
        {"field": "metadata.order", "code": "wrong", "detail": "bad"},
        {"field": "body", "code": "invalid", "detail": "all wrong"},
    ]


@pytest.mark.parametrize("error", [KeyError("hunter22"), OperationalError('password "hunter22" refused')])
def test_what_an_unforeseen_error_says_is_not_told(error: Exception) -> None:
    assert "hunter22" not in told(error)[0].content.decode()


def test_a_panic_is_logged_with_its_traceback() -> None:
    error = KeyError("boom")
    with capture_logs() as logs:
        told(error)
    [line] = logs
    assert (line["event"], line["log_level"], line["exc_info"]) == ("panic", "error", error)


def test_a_refusal_of_the_clients_own_making_is_no_error_of_ours() -> None:
    with capture_logs() as logs:
        told(exceptions.ValidationError({"to": ["x"]}))
    assert logs == []
