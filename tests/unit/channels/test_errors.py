"""What a table of codes is, and the page that is made of them."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command

from channels.contract import PermanentError, RateLimited, Refused, TransientError
from channels.errors import Kind, Meaning, Table
from channels.http_errors import HTTP
from channels.http_once import Answer

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
FULL = Meaning("full", Kind.TRANSIENT, "the queue is full", "https://example.com", patience=timedelta(minutes=10))
LATER = Meaning("later", Kind.RATE_LIMITED, "too many", "https://example.com", patience=timedelta(seconds=7))
GONE = Meaning("gone", Kind.PERMANENT, "left", "https://example.com", refuses=Refused.RECIPIENT)
TABLE = Table(FULL, LATER, GONE, beneath=HTTP)


def test_the_page_is_what_the_tables_say() -> None:
    written = io.StringIO()
    call_command("error_tables", stdout=written)

    assert PAGE.read_text() == written.getvalue(), "run `make errors`"


def test_a_code_has_one_row() -> None:
    with pytest.raises(ValueError, match="two rows"):
        Table(FULL, replace(FULL, kind=Kind.UNKNOWN))


def test_a_row_of_its_own_hides_the_one_beneath() -> None:
    refuses_nothing = Meaning("4xx", Kind.TRANSIENT, "later", "https://example.com")
    table = Table(refuses_nothing, beneath=HTTP)

    assert table["4xx"] is refuses_nothing
    assert table["5xx"] is HTTP["5xx"]
    assert next(iter(table)) == "4xx"
    assert len(table) == len(HTTP)


def test_the_first_code_that_has_a_row_decides() -> None:
    assert TABLE.first("nobody's", "gone", "full") is GONE
    with pytest.raises(KeyError):
        TABLE.first("nobody's", "nobody's either")


def test_the_providers_word_decides_before_the_status() -> None:
    error = Answer(400, {}, "").error(TABLE, "gone", detail="has left")

    assert isinstance(error, PermanentError)
    assert (error.code, error.detail, error.refuses) == ("gone", "answered 400: has left", Refused.RECIPIENT)


@pytest.mark.parametrize("status", [200, 500, 502])
def test_a_refusal_is_not_believed_where_the_message_may_have_been_passed_on(status: int) -> None:
    error = Answer(status, {}, "").error(TABLE, "gone", detail="")

    assert isinstance(error, TransientError)
    assert (error.code, error.outcome_unknown) == (str(status), True)


def test_what_was_never_done_is_believed_whatever_the_status() -> None:
    assert isinstance(Answer(503, {}, "").error(TABLE, "later", detail=""), RateLimited)


@pytest.mark.parametrize(("headers", "expected"), [({}, FULL.patience), ({"Retry-After": "30"}, timedelta(seconds=30))])
def test_an_answer_that_names_a_time_is_asked_again_then(headers: dict[str, str], expected: timedelta) -> None:
    error = Answer(400, headers, "").error(TABLE, "full", detail="")

    assert isinstance(error, TransientError)
    assert error.retry_after == expected


@pytest.mark.parametrize("word", ["403", "4xx", "429", "any other", "timeout in doubt", "certificate"])
def test_an_answer_cannot_name_a_row_that_is_not_a_word_of_its_provider(word: str) -> None:
    error = Answer(400, {}, word).error(TABLE, word, detail="")

    assert isinstance(error, PermanentError)
    assert error.code == "400"
