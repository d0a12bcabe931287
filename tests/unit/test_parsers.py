from __future__ import annotations

import io
import json

import pytest
from django.test import RequestFactory

from notifications.api.parsers import DEEPEST, StrictJSONParser, strict_object
from notifications.api.problems import Problem


def refusal(raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        strict_object(raw)
    return caught.value


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b' {"a": [1, 2.5, null, true, "x"]} ',
        '{"é": "日本 😀"}'.encode(),
        b'{"a": "\\ud83d\\ude00"}',
        nested(DEEPEST - 1),
    ],
)
def test_an_ordinary_object_is_read_as_json_reads_it(raw: bytes) -> None:
    assert strict_object(raw) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} x',
        b'{"a": 1,}',
        b"[]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "a": 1}}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": "a"}',
        b'{"a": ["\\ud800"]}',
        b'{"\\udc00": 1}',
        b'{"a": "caf\xe9"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "line\nbreak"}',
        nested(DEEPEST + 1),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
    ],
    ids=range(26),
)
def test_anything_else_is_malformed(raw: bytes) -> None:
    assert refusal(raw).code == "malformed_json"


def test_the_refusal_says_where_and_does_not_repeat_the_body() -> None:
    detail = refusal(b'{"message": "a secret",\n oops}').detail
    assert "line 2" in detail
    assert "secret" not in detail


def parse(body: bytes, content_type: str = "application/json", **headers: str) -> object:
    request = RequestFactory().post("/", body, content_type=content_type, **headers)
    return StrictJSONParser().parse(io.BytesIO(body), content_type, {"request": request})


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf_8_may_be_named(charset: str) -> None:
    assert parse(b"{}", f"application/json; charset={charset}") == {}


def test_another_charset_is_an_unsupported_media_type() -> None:
    with pytest.raises(Problem) as caught:
        parse(b"{}", "application/json; charset=latin-1")
    assert caught.value.code == "unsupported_media_type"


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


def test_a_body_that_says_it_is_too_large_is_refused_unread(settings: object) -> None:
    request = RequestFactory().post("/", b"{}", content_type="application/json", CONTENT_LENGTH="1048577")
    with pytest.raises(Problem) as caught:
        StrictJSONParser().parse(Unread(), "application/json", {"request": request})
    assert caught.value.code == "payload_too_large"


def test_a_body_of_just_the_limit_is_read() -> None:
    filler = "x" * (1024 * 1024 - len('{"message":""}'))
    assert parse(json.dumps({"message": filler}, separators=(",", ":")).encode()) == {"message": filler}
