"""What is accepted and what is refused, of every field on both sides of its limit, is the same by every face."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifications.models import Client, IdempotencyRecord, Label, Listing, Notification

from .faces import Face, InProcess, Mend

SLACK = {"channel": "slack", "message": "hello"}
MAIL = {"channel": "email", "to": "ann@example.com", "subject": "Hi", "message": "hello"}
SMS = {"channel": "sms", "to": "+14155552671", "message": "hello"}


def ahead(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


BEGINS = ahead(hours=2)

ACCEPTED: dict[str, dict[str, Any]] = {
    "slack to the default": SLACK,
    "slack by name": {**SLACK, "to": "ops"},
    "slack of 40000 characters": {**SLACK, "message": "ü" * 40_000},
    "spaces and lines": {**SLACK, "message": " \u3000two\r\nlines\x1f\U0001f600 "},
    "mail": MAIL,
    "mail to letters of any case": {**MAIL, "to": "Ann.O'Hara+x@Example.COM"},
    "mail to localhost": {**MAIL, "to": "ann@LOCALHOST"},
    "mail to a local part of 64": {**MAIL, "to": f"{'a' * 64}@example.com"},
    "mail to an address of 254": {**MAIL, "to": f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 56}.com"},
    "mail to labels of 63": {**MAIL, "to": f"a@{'b' * 63}.{'c' * 63}"},
    "mail to a top level by IDNA": {**MAIL, "to": f"a@b.xn--{'c' * 59}"},
    "mail to what looks odd": {**MAIL, "to": "!#$%&'*+/=?^_`{}|~-@1-2.b--c.d-e"},
    "mail by IDNA in ASCII": {**MAIL, "to": "ann@xn--bcher-kva.example"},
    "a subject of 255": {**MAIL, "subject": "\U0001f600" * 255},
    "a subject with odd spaces": {**MAIL, "subject": "\u00a0\u200bHi\u3000"},
    "mail of 262144 bytes": {**MAIL, "message": "ü" * 131_072},
    "sms": SMS,
    "sms of 1600 characters": {**SMS, "message": "\U0001f600" * 1_600},
    "the shortest number": {**SMS, "to": "+4912"},
    "the longest number": {**SMS, "to": "+491234567890123"},
    "the number of no country": {**SMS, "to": "+80012345678"},
    "a local length": {**SMS, "to": "+15552671"},
    "now": {**SLACK, "send_at": ahead(seconds=-1)},
    "in a year": {**SLACK, "send_at": ahead(days=366, seconds=-30)},
    "in the first year of all": {**SLACK, "send_at": datetime(1, 1, 1, tzinfo=UTC)},
    "until the end of years": {**SLACK, "expires_at": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    "a life": {**SLACK, "send_at": ahead(hours=1), "expires_at": ahead(hours=1, microseconds=1)},
    "high": {**SLACK, "priority": "high"},
    "low": {**SLACK, "priority": "low"},
    "metadata": {
        **SLACK,
        "metadata": {"": "", "order": 42, "weight": 1.5, "shop": "Zürich\n\x01\x7f\\", "big": 10**400},
    },
    "metadata of 4096 bytes": {**SLACK, "metadata": {"a": "ü" * 2_039, "b": 10}},
    "a number of 4089 digits": {**SLACK, "metadata": {"a": 10**4_088}},
    "a float in full": {**SLACK, "metadata": {"a": 1e308, "b": -1e-300, "c": -0.0, "d": 1e22}},
    "a correlation id of 128": {**SLACK, "correlation_id": "aA0._~:/+=-" * 11 + "z" * 7},
}

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown channel": ({**SLACK, "channel": "pigeon"}, "channel", "unknown_channel"),
    "a channel of another case": ({**SLACK, "channel": "Slack"}, "channel", "unknown_channel"),
    "an unknown webhook": ({**SLACK, "to": "nobody"}, "to", "unknown_destination"),
    "a webhook of another case": ({**SLACK, "to": "Ops"}, "to", "unknown_destination"),
    "a subject for slack": ({**SLACK, "subject": "Hi"}, "subject", "not_supported"),
    "a subject for sms": ({**SMS, "subject": " "}, "subject", "not_supported"),
    "slack of 40,001 characters": ({**SLACK, "message": "x" * 40_001}, "message", "too_long"),
    "an empty message": ({**SLACK, "message": ""}, "message", "blank"),
    "every kind of blank": (
        {**MAIL, "message": "".join(chr(i) for i in range(1, 0x10000) if chr(i).isspace())},
        "message",
        "blank",
    ),
    "mail without a subject": ({**MAIL, "subject": ""}, "subject", "required"),
    "mail with a blank subject": ({**MAIL, "subject": "\u2003\x1c"}, "subject", "required"),
    "a subject of 256": ({**MAIL, "subject": "x" * 256}, "subject", "too_long"),
    **{
        f"a subject with {name!a}": (
            {**MAIL, "subject": f"Hi{name}Bcc: all@example.com"},
            "subject",
            "invalid_characters",
        )
        for name in ("\n", "\r", "\r\n", "\x01", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029")
    },
    "mail of 262,145 characters": ({**MAIL, "message": "x" * 262_145}, "message", "too_long"),
    "mail of 262,145 bytes": ({**MAIL, "message": "ü" * 131_072 + "x"}, "message", "too_long"),
    **{
        f"mail to {to[:40]!a}": ({**MAIL, "to": to}, "to", "invalid_email_address")
        for to in (
            *(
                "",
                "ann",
                "ann@",
                "@example.com",
                "ann@example",
                "ann@@example.com",
                "ann@example..com",
                "a b@example.com",
            ),
            *("ann@-example.com", "ann@example-.com", "ann@example.com-", "ann@example.c", " ann@example.com"),
            *("ann@example.com ", "ann@example.com\n", "ann@example.com\r\nBcc: eve@example.com", "ann@[127.0.0.1]"),
            *("ann@example.com,bob@example.com", "Ann <ann@example.com>", '"ann"@example.com', "änn@example.com"),
            *(
                ".ann@example.com",
                "ann.@example.com",
                "a..b@example.com",
                "ann@exam_ple.com",
                "ann@localhost.",
                "a@b.c1",
                "a@b.-c",
            ),
            *(f"{'a' * 65}@example.com", f"ann@{'b' * 64}.com", f"ann@b.{'c' * 64}", "ann\u212a@example.com"),
            f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 57}.com",
        )
    },
    "sms of 1,601 characters": ({**SMS, "message": "x" * 1_601}, "message", "too_long"),
    **{
        f"sms to {to!a}": ({**SMS, "to": to}, "to", "invalid_phone_number")
        for to in (
            *("", "+", "+1", "4155552671", "+1415555267x", "+14155552671\n", " +14155552671", "tel:+14155552671"),
            *(
                "+04155552671",
                "+4155552671415555",
                "+999999999999999",
                "+141555526",
                "+1415555267\u0661",
                "+2101234567",
            ),
        )
    },
    "too far": ({**SLACK, "send_at": ahead(days=366, minutes=10)}, "send_at", "too_far"),
    "over": ({**SLACK, "expires_at": ahead(milliseconds=-1)}, "expires_at", "in_the_past"),
    "over when it begins": ({**SLACK, "send_at": BEGINS, "expires_at": BEGINS}, "expires_at", "before_send_at"),
    "a list in metadata": ({**SLACK, "metadata": {"a": ["b"]}}, "metadata", "invalid"),
    "an object in metadata": ({**SLACK, "metadata": {"a": {}}}, "metadata", "invalid"),
    "a yes in metadata": ({**SLACK, "metadata": {"a": True}}, "metadata", "invalid"),
    "nothing in metadata": ({**SLACK, "metadata": {"a": "b", "c": None}}, "metadata", "invalid"),
    "metadata of 4,097 bytes": ({**SLACK, "metadata": {"a": "ü" * 2_039, "b": 100}}, "metadata", "max_length"),
    "a number of 4090 digits": ({**SLACK, "metadata": {"a": 10**4_089}}, "metadata", "max_length"),
}

# What no face but those without HTTP could be told.
INNER: dict[str, tuple[dict[str, Any], str, str]] = {
    "an empty key": ({**SLACK, "key": ""}, "idempotency_key", "idempotency_key_invalid"),
    "a key of 256": ({**SLACK, "key": "k" * 256}, "idempotency_key", "idempotency_key_invalid"),
    "a key of two lines": ({**SLACK, "key": "k\n"}, "idempotency_key", "idempotency_key_invalid"),
    "a key beyond ASCII": ({**SLACK, "key": "kéy"}, "idempotency_key", "idempotency_key_invalid"),
    "a correlation id of 129": ({**SLACK, "correlation_id": "c" * 129}, "correlation_id", "invalid"),
    "a correlation id of two lines": ({**SLACK, "correlation_id": "c\nX: y"}, "correlation_id", "invalid"),
    "a correlation id with a space": ({**SLACK, "correlation_id": "a b"}, "correlation_id", "invalid"),
}

STORED = [
    *("client_id", "channel", "lane", "recipient", "subject", "body", "metadata", "priority", "expires_at", "status"),
    *("attempt", "tries", "losses", "possible_duplicate", "worker_id", "claimed_at", "started_at", "provider_id"),
    *("error_code", "correlation_id", "idempotency_key", "finished_at"),
]


def stored(id_: object) -> dict[str, Any]:
    """All of a row that is not of its moment, and where lists have it."""
    return {
        **Notification.objects.values(*STORED).get(pk=id_),
        "listed": list(Listing.objects.filter(id=id_).values_list("client_id", "recipient", "correlation")),
        "labels": sorted(Label.objects.filter(id=id_).values_list("term", flat=True)),
    }


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_is_stored_as_in_process(face: Face, client: Client, name: str) -> None:
    fields = {"correlation_id": "c-1", **ACCEPTED[name]}
    expected = stored(InProcess().accept(client, key="in-process", **fields).id)
    before = datetime.now(UTC)

    told = face.accept(client, key=name, **fields)

    assert stored(told.id) == {**expected, "idempotency_key": name}
    row = Notification.objects.get(pk=told.id)
    send_at = fields.get("send_at")
    assert row.due_at == send_at if send_at and send_at > before else before - timedelta(seconds=5) < row.due_at
    assert row.created_at >= before - timedelta(seconds=1)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_its_field_and_stores_nothing(face: Face, client: Client, name: str) -> None:
    fields, field, code = REFUSED[name]

    with pytest.raises(Mend) as mend:
        face.accept(client, key="k", **fields)

    assert (mend.value.field, mend.value.code) == (field, code)
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 0


def test_a_client_that_is_switched_off_accepts_nothing(inner: Face, client: Client) -> None:
    client.is_active = False
    client.save()

    with pytest.raises(Mend) as mend:
        inner.accept(client, **SLACK)

    assert (mend.value.field, mend.value.code) == ("client", "client_inactive")
    assert not Notification.objects.exists()


@pytest.mark.parametrize("name", INNER)
def test_what_no_header_could_say_is_refused(inner: Face, client: Client, name: str) -> None:
    fields, field, code = INNER[name]

    with pytest.raises(Mend) as mend:
        inner.accept(client, **fields)

    assert (mend.value.field, mend.value.code) == (field, code)
    assert Notification.objects.count() == IdempotencyRecord.objects.count() == 0
