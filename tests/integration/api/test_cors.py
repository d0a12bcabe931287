from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import Client as HttpClient
from pytest_django import Settings

OURS, FOREIGN = "https://shop.example", "https://evil.example"


@pytest.fixture(autouse=True)
def one_origin(settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [OURS]
    # Where the settings put it if the environment names an origin: see test_server.py.
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], "corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE[1:]]


def preflight(
    origin: str, headers: str = "authorization,content-type,idempotency-key,x-correlation-id"
) -> HttpResponse:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }
    return HttpClient().options("/api/v1/notifications", headers=asked)


def test_an_allowed_origin_may_post_with_a_key() -> None:
    answer = preflight(OURS)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "idempotency-key", "x-correlation-id", "traceparent"} <= allowed


def test_another_origin_is_allowed_nothing() -> None:
    assert not [name for name in preflight(FOREIGN).headers if name.startswith("Access-Control-")]


def test_a_pre_flight_needs_no_key_and_no_database() -> None:
    assert preflight(OURS).status_code == 200


def test_a_pre_flight_is_answered_with_a_correlation_id() -> None:
    assert len(preflight(OURS).headers["X-Correlation-ID"]) == 36


def test_an_error_can_be_read_by_an_allowed_origin_and_shows_our_headers() -> None:
    answer = HttpClient().get("/api/v1/nothing", headers={"Origin": OURS})

    assert answer.status_code == 404
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    limits = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    assert exposed == limits | {
        *("Idempotency-Key", "Idempotent-Replayed", "Location", "Retry-After", "X-Correlation-ID"),
    }


def test_pages_that_are_not_the_api_are_shared_with_nobody() -> None:
    answer = HttpClient().get("/", headers={"Origin": OURS})
    assert "Access-Control-Allow-Origin" not in answer.headers
