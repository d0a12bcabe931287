from __future__ import annotations

from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from structlog.testing import capture_logs

from notifier.middleware import RequestLog, correlation_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def request(path: str = "/api/v1/notifications", **headers: str) -> HttpRequest:
    return RequestFactory().get(path, headers=headers)


@pytest.mark.parametrize("given", ["a", "order-42", "A.b_c~d:e/f+g=h-i", "x" * 128])
def test_a_safe_correlation_id_is_kept(given: str) -> None:
    assert correlation_id(request(X_Correlation_ID=given)) == given


@pytest.mark.parametrize(
    "given", ["", "x" * 129, "two words", "a,b", "a\r\nSet-Cookie: b", "caf\u00e9", "<script>", "a@b"]
)
def test_an_unsafe_correlation_id_is_replaced(given: str) -> None:
    made = correlation_id(request(X_Correlation_ID=given))
    assert made != given
    assert len(made) == 36


def test_the_trace_id_of_a_traceparent_is_taken() -> None:
    assert correlation_id(request(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")) == TRACE


def test_a_later_version_of_traceparent_may_go_on() -> None:
    assert correlation_id(request(traceparent=f"01-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings")) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        "nonsense",
    ],
)
def test_an_invalid_traceparent_is_ignored(traceparent: str) -> None:
    assert len(correlation_id(request(traceparent=traceparent))) == 36


def test_the_correlation_id_wins_over_the_traceparent() -> None:
    given = request(X_Correlation_ID="mine", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert correlation_id(given) == "mine"


def answered(asked: HttpRequest, response: HttpResponse) -> tuple[HttpResponse, list[dict[str, Any]]]:
    with capture_logs() as logs:
        returned = RequestLog(lambda _: response)(asked)
    assert isinstance(returned, HttpResponse)
    return returned, list(logs)


def test_each_request_is_a_line_when_it_is_answered() -> None:
    response, logs = answered(request(X_Correlation_ID="mine"), HttpResponse("hello", status=404))
    assert response.headers["X-Correlation-ID"] == "mine"
    [line] = logs
    assert line | {"duration_ms": 0} == {
        "event": "answer",
        "log_level": "info",
        "method": "GET",
        "path": "/api/v1/notifications",
        "status": 404,
        "bytes": 5,
        "duration_ms": 0,
    }


def test_the_query_is_not_logged() -> None:
    _, logs = answered(request("/api/v1/notifications?to=ann@example.com"), HttpResponse())
    assert "ann" not in str(logs)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/admin/css/base.css"])
def test_probes_and_static_files_are_no_line_of_production(path: str) -> None:
    _, logs = answered(request(path), HttpResponse())
    assert logs == []  # the tests run at the level of production


def test_the_view_sees_the_id_on_the_request_and_in_the_log_context() -> None:
    seen: dict[str, Any] = {}

    def view(asked: HttpRequest) -> HttpResponse:
        seen["request"] = asked.correlation_id  # type: ignore[attr-defined]
        seen["context"] = structlog.contextvars.get_contextvars()["correlation_id"]
        return HttpResponse()

    RequestLog(view)(request(X_Correlation_ID="mine"))
    assert seen == {"request": "mine", "context": "mine"}


def test_nothing_of_a_request_stays_bound_for_the_next() -> None:
    def view(asked: HttpRequest) -> HttpResponse:
        structlog.contextvars.bind_contextvars(client="shop")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        RequestLog(view)(request())
    assert structlog.contextvars.get_contextvars() == {}
