"""What every HTTP backend leaves to the one that sends for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from channels.contract import ConfigurationError
from channels.http_once import HttpOnce
from tests.contract.stand_in import HttpStandIn, http_answer

LIMIT = timedelta(seconds=10)


def sends(stand_in: HttpStandIn, times: int, **options: timedelta) -> None:
    http = HttpOnce(limit=LIMIT, **options)
    for _ in range(times):
        http.send(requests.Request("POST", f"http://127.0.0.1:{stand_in.port}/", data=b"hello"))
    http.close()


def test_a_connection_is_kept_between_sends() -> None:
    with HttpStandIn() as stand_in:
        sends(stand_in, 3)
        assert stand_in.connections == 1


def test_a_connection_that_was_idle_for_long_is_not_trusted() -> None:
    with HttpStandIn() as stand_in:
        sends(stand_in, 3, max_idle=timedelta(0))
        assert stand_in.connections == 3


def test_a_cookie_of_one_answer_does_not_go_with_the_next_request() -> None:
    with HttpStandIn() as stand_in:
        stand_in.answer = http_answer(200, b"ok", Set_Cookie="session=1; Path=/")
        sends(stand_in, 2)
        assert "cookie" not in stand_in.requests[1].headers


@pytest.mark.parametrize(
    "url", ["", "hooks.example.com/x", "ftp://127.0.0.1/", "http://", "https://a:b:c/", "http://[::1/"]
)
def test_an_address_that_is_none_is_a_matter_of_configuration(url: str) -> None:
    http = HttpOnce(limit=LIMIT)
    with pytest.raises(ConfigurationError) as error:
        http.send(requests.Request("POST", url))
    assert error.value.code == "invalid_url"
    http.close()


def test_an_endless_answer_is_cut() -> None:
    with HttpStandIn() as stand_in:
        stand_in.answer = http_answer(200, b"x" * 5_000_000)
        http = HttpOnce(limit=LIMIT)
        answer = http.send(requests.Request("POST", f"http://127.0.0.1:{stand_in.port}/"))
        http.close()
        assert len(answer.text) == 64 * 1024


@pytest.mark.parametrize(
    ("url", "path", "authorization"),
    [
        ("http://127.0.0.1:{port}", "/", None),
        ("http://127.0.0.1:{port}/a b/ü?q=1 2&r=%20", "/a%20b/%C3%BC?q=1%202&r=%20", None),
        ("http://ada:s%20cret@127.0.0.1:{port}/x", "/x", "Basic YWRhOnMgY3JldA=="),
    ],
)
def test_an_address_is_asked_for_as_it_must_be_written(url: str, path: str, authorization: str | None) -> None:
    with HttpStandIn() as stand_in:
        http = HttpOnce(limit=LIMIT)
        http.send(requests.Request("POST", url.format(port=stand_in.port)))
        http.close()
        (request,) = stand_in.requests
        assert (request.path, request.headers.get("authorization")) == (path, authorization)
        assert request.headers["host"] == f"127.0.0.1:{stand_in.port}"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_a_connection_is_kept_after_an_answer_that_was_read_to_its_end(answer: bytes) -> None:
    with HttpStandIn() as stand_in:
        stand_in.answer = answer
        sends(stand_in, 2)
        assert stand_in.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,  # more than is read of any answer
    ],
)
def test_a_connection_is_not_kept_after_any_other(answer: bytes) -> None:
    with HttpStandIn() as stand_in:
        stand_in.answer = answer
        sends(stand_in, 2)
        assert stand_in.connections == 2
