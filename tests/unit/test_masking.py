from __future__ import annotations

from typing import Any

import pytest

from notifications.credentials import new_key
from notifier.masking import Masker, recipient

WEBHOOK = "https://hooks.slack.com/services/T0AB12CD3/B0AB12CD3/XyZ123abcXYZ"


def masked(secrets: tuple[str, ...] = (), **event: Any) -> dict[str, Any]:
    return dict(Masker(secrets)(None, "info", event))


def test_a_phone_number_keeps_its_ends() -> None:
    assert recipient("+14155552671") == "+1415•••••71"


def test_an_address_keeps_its_first_letter_and_its_domain() -> None:
    assert recipient("ann@example.com") == "a•••@example.com"


def test_the_name_of_a_webhook_is_no_secret() -> None:
    assert masked(to="ops") == {"to": "ops"}


@pytest.mark.parametrize("field", ["to", "recipient", "send_to", "send_to_number", "email", "phone_number"])
def test_recipients_are_masked_by_the_name_of_the_field(field: str) -> None:
    assert masked(**{field: "+14155552671"}) == {field: "+1415•••••71"}


@pytest.mark.parametrize(
    "field",
    [
        *("authorization", "Authorization", "api_key", "password", "smtp_password", "auth_token"),
        *("webhook", "webhook_url", "secret", "SECRET_KEY", "DATABASE_URL", "cookie", "body"),
    ],
)
def test_secrets_are_masked_by_the_name_of_the_field(field: str) -> None:
    assert masked(**{field: "anything"}) == {field: "•••"}


def test_fields_deep_inside_are_masked_too() -> None:
    event = masked(request={"headers": [{"Authorization": "x"}, {"to": "ann@example.com"}]})
    assert event == {"request": {"headers": [{"Authorization": "•••"}, {"to": "a•••@example.com"}]}}


@pytest.mark.parametrize(("test", "mark"), [(False, "nk"), (True, "nk_test")])
def test_an_api_key_in_a_text_keeps_only_its_prefix(test: bool, mark: str) -> None:
    key = new_key(test=test)
    assert masked(event=f"got {key.text}!") == {"event": f"got {mark}_{key.prefix}_•••!"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("Authorization: Basic QUM6c2VjcmV0", "QUM6c2VjcmV0"),
        ("postgresql://notifier:hunter22@db:5432/notifier", "hunter22"),
        ("password=hunter22 host=db", "hunter22"),
        ("{'auth_token': 'hunter22'}", "hunter22"),
        (f"POST {WEBHOOK} failed", "XyZ123abcXYZ"),
        ('hooks.slack.com:443 "POST /services/T0AB12CD3/B0AB12CD3/XyZ123abcXYZ HTTP/1.1" 200', "XyZ123abcXYZ"),
        ("Max retries exceeded with url: /any/path/at-all (Caused by …)", "at-all"),
        ("no such mailbox: <ann.smith@example.com>", "ann.smith@"),
        ("The 'To' number +14155552671 is not valid", "+14155552671"),
    ],
)
def test_secrets_and_addresses_are_masked_by_their_shape(text: str, secret: str) -> None:
    assert secret not in masked(event=text)["event"]


@pytest.mark.parametrize("text", [WEBHOOK, "/services/T0AB12CD3/B0AB12CD3/XyZ123abcXYZ"])
def test_a_configured_webhook_is_masked_whole_or_by_its_path(text: str) -> None:
    assert masked((WEBHOOK,), event=f"<{text}>") == {"event": "<•••>"}


def test_a_webhook_of_an_unknown_host_is_masked_once_it_is_configured() -> None:
    webhook = "http://127.0.0.1:8025/slack/ops/0123456789"
    assert "0123456789" not in masked((webhook,), event="refused: /slack/ops/0123456789")["event"]


def test_the_password_of_a_configured_address_is_masked_alone() -> None:
    assert masked(("amqp://u:s3cr3tword@broker/",), event="login s3cr3tword refused") == {"event": "login ••• refused"}


def test_a_configured_secret_is_masked_in_bytes_and_objects() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd s3cr3tword"

    event = masked(("s3cr3tword",), raw=b"s3cr3tword", odd=Odd())
    assert event == {"raw": "•••", "odd": "odd •••"}


def test_an_empty_secret_masks_nothing() -> None:
    assert masked(("",), event="plain words") == {"event": "plain words"}


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T08:45:31.607135+00:00", "0190163d-8694-739b-aea5-966c26f8ad91", "POST /api/v1/notifications", "1+1=2"],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert masked(event=text) == {"event": text}


def test_numbers_and_nothing_keep_their_types() -> None:
    assert masked(status=202, duration_ms=1.5, ok=True, at=None) == {
        "status": 202,
        "duration_ms": 1.5,
        "ok": True,
        "at": None,
    }


def test_among_many_texts_those_that_need_it_are_masked() -> None:
    ids = [f"order-{n}" for n in range(100)]
    assert masked(correlation_ids=ids) == {"correlation_ids": ids}
    assert masked(said=[*ids, "to ann@example.com", 7]) == {"said": [*ids, "to a•••@example.com", 7]}
    assert masked(("hunter2hunter2",), said=[*ids, "hunter2hunter2"]) == {"said": [*ids, "•••"]}


def test_a_word_that_announces_a_secret_is_known_in_whatever_case() -> None:
    assert masked(said="PA\u017fsWORD=hunter22") == {"said": "PA\u017fsWORD=•••"}


def test_a_webhooks_secret_is_masked_wherever_it_stands() -> None:
    assert masked(event="signed with whsec_c2hvcnQ/c2Vj+mV0LW9m=, twice") == {"event": "signed with whsec_•••, twice"}


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        (
            "DETAIL:  Failing row contains (1, Dear Ann, \n\nyour code\nis 4711 (soon).\n\nYours, null).",
            "DETAIL:  •••",
        ),
        ("DETAIL:  Key (client_id, key)=(1, order of Ann) already exists.", "DETAIL:  •••"),
        (
            'DETAIL:  Token "Ann" is invalid.\nHINT:  Quote it.\nCONTEXT:  JSON data, line 1: {"dear": Ann...',
            "DETAIL:  •••\nHINT:  Quote it.\nCONTEXT:  •••",
        ),
    ],
)
def test_what_postgres_quotes_of_what_it_was_given_is_not_shown(quoted: str, shown: str) -> None:
    told = 'psycopg.errors.CheckViolation: new row for relation "notification" violates check constraint "c"\n'
    once_more = "\n\nThe above exception was the direct cause of the following exception:\n\nTraceback"

    assert masked(exception=told + quoted + once_more) == {"exception": told + shown + once_more}
