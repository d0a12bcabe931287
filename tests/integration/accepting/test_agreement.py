"""Whatever is asked for, Python and SQL store the same, or refuse it for the same field and by the same code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from notifications.intake import canonical
from notifications.models import Client, IdempotencyRecord

from .faces import Face, InProcess, Mend, Sql
from .test_same_rules import stored

# Whatever Postgres can be told: no NUL, no half of a surrogate pair.
ODD = st.characters(codec="utf-8", exclude_characters="\x00")
SPACES = st.sampled_from(
    [*"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u200b\u2028\u2029\u202f\u3000\ufeff"]
)
NEAR = st.sampled_from([1, 2, 60, 63, 64, 65, 248, 249, 254, 255, 256])
WORDS = st.text(ODD | SPACES, max_size=20) | st.text(SPACES, max_size=4) | st.builds(lambda c, n: c * n, ODD, NEAR)
LONG = st.builds(
    lambda char, size, end: char * size + end,
    st.sampled_from(["x", "ü", "\U0001f600", " "]),
    st.sampled_from([1, 1599, 1600, 1601, 39_999, 40_000, 40_001, 131_072, 262_144]),
    st.text(ODD, max_size=2),
)
LABEL = (
    st.text("aZ09-_ü", min_size=1, max_size=5)
    | st.builds(lambda n: "a" * n, NEAR)
    | st.sampled_from(["com", "xn--p1ai", "localhost"])
)
ADDRESS = st.builds(
    lambda local, labels, end: f"{local}@{'.'.join(labels)}{end}",
    st.text("aZ0!#$%&'*+/=?^_`{|}~.-\"@ ü(),:;<>[]\\", max_size=12) | st.builds(lambda n: "a" * n, NEAR),
    st.lists(LABEL, min_size=1, max_size=4),
    st.sampled_from(["", "", "", ".com", ".", "\n", " "]),
)
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
NUMBER = st.builds(
    lambda code, rest: f"+{code}{rest}", st.integers(0, 1000), st.text("0123456789", max_size=16)
) | st.builds(
    lambda region: phonenumbers.format_number(phonenumbers.example_number(region), phonenumbers.PhoneNumberFormat.E164),
    st.sampled_from(REGIONS),
)
MOMENT = (
    st.none()
    | st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(  # noqa: DTZ001
        lambda each: each.replace(tzinfo=UTC)
    )
    | st.integers(-2, 370).map(lambda days: datetime.now(UTC) + timedelta(days=days))
)
# What both can say: Python's floats, and numbers of any length.
VALUE = WORDS | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
STRANGE = st.none() | st.booleans() | st.lists(st.integers(), max_size=2) | VALUE
METADATA = st.dictionaries(WORDS, VALUE, max_size=5) | st.dictionaries(WORDS, STRANGE, max_size=2)
REQUESTS = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["slack", "email", "sms", "apprise"]) | WORDS,
        "message": WORDS | LONG,
    },
    optional={
        "to": st.sampled_from(["", "default", "ops", "ann@example.com", "+14155552671"]) | ADDRESS | NUMBER | WORDS,
        "subject": WORDS,
        "send_at": MOMENT,
        "expires_at": MOMENT,
        "priority": st.sampled_from(["high", "normal", "low"]),
        "metadata": METADATA,
        "correlation_id": st.text("aZ0._~:/+=-", max_size=10) | WORDS,
    },
)
MAILS = st.fixed_dictionaries(
    {"channel": st.just("email"), "message": st.just("hello"), "subject": WORDS | st.just("Hi"), "to": ADDRESS}
)
TEXTS = st.fixed_dictionaries({"channel": st.just("sms"), "message": st.just("hello"), "to": NUMBER})


def outcome(face: Face, client: Client, fields: dict[str, Any]) -> tuple[str, str] | tuple[dict[str, Any], bytes]:
    """The field and code of a refusal, or all that was stored and its fingerprint; nothing of it stays."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                told = face.accept(client, key="k", **fields)
                kept = stored(told.id), bytes(IdempotencyRecord.objects.get().fingerprint)
        except Mend as mend:
            kept = mend.field, mend.code
        transaction.set_rollback(True)
    return kept


def is_stricter(fields: dict[str, Any], by_sql: object) -> bool:
    """What SQL alone refuses: a domain that only IDNA can write in ASCII, a trunk prefix behind the country."""
    to = fields.get("to", "")
    if fields["channel"] == "email":
        return by_sql == ("to", "invalid_email_address") and not to.rpartition("@")[2].isascii()
    if fields["channel"] == "sms" and by_sql == ("to", "invalid_phone_number"):
        written = phonenumbers.format_number(phonenumbers.parse(to), phonenumbers.PhoneNumberFormat.E164)
        return bool(written != to)
    return False


@pytest.mark.parametrize("requests", [REQUESTS, MAILS, TEXTS], ids=["anything", "mail", "sms"])
def test_python_and_sql_agree(client: Client, requests: st.SearchStrategy[dict[str, Any]]) -> None:
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(fields=requests)
    def agree(fields: dict[str, Any]) -> None:
        by_python = outcome(InProcess(), client, fields)
        by_sql = outcome(Sql(), client, fields)
        assert by_sql == by_python or is_stricter(fields, by_sql)

    agree()


def test_both_take_every_countrys_example_of_a_number(client: Client) -> None:
    for region in REGIONS:
        number = phonenumbers.format_number(phonenumbers.example_number(region), phonenumbers.PhoneNumberFormat.E164)
        fields = {"channel": "sms", "message": "hello", "to": number}
        by_sql = outcome(Sql(), client, fields)

        assert by_sql == outcome(InProcess(), client, fields)
        assert isinstance(by_sql[0], dict), number


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"channel": "email", "to": "ann@bücher.example", "subject": "Hi"}, ("to", "invalid_email_address")),
        ({"channel": "sms", "to": "+4402079460958"}, ("to", "invalid_phone_number")),
    ],
)
def test_where_sql_is_stricter_it_says_so(client: Client, fields: dict[str, Any], refusal: tuple[str, str]) -> None:
    fields = {**fields, "message": "hello"}

    assert isinstance(outcome(InProcess(), client, fields)[0], dict)
    assert outcome(Sql(), client, fields) == refusal


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(WORDS, VALUE, max_size=6))
@example(metadata={"a": 5e-324, "b": 1.7976931348623157e308, "c": -0.0, "d": 1e16, "e": 0.1, "f": 123456789.125})
def test_both_write_metadata_in_one_form(client: Client, metadata: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT notifications_accept_canonical(%s)", [Jsonb(metadata)])
        assert cursor.fetchone() == (canonical(metadata),)
