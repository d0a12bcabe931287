"""The backends as the contract suite sees them: how each provider says yes, no, later and nothing."""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from channels import apprise, django_email, resend
from channels.contract import (
    Backend,
    ChannelError,
    ConfigurationError,
    Message,
    PermanentError,
    RateLimited,
    Receipt,
    TransientError,
)
from channels.errors import Kind, Meaning, Table
from channels.http_errors import ANY_OTHER
from channels.sandbox.slack import ERRORS as SLACK_STATUSES
from channels.slack import SlackWebhook
from channels.smtp import NO_REPLY, SmtpEmail
from channels.twilio_sms import FAILED, TwilioSms
from channels.webhook import Endpoint, StandardWebhook
from tests.contract.stand_in import Answer, HttpStandIn, Instead, SmtpStandIn, StandIn, http_answer

ACCOUNT = "AC" + "5" * 32
TOKEN = "f00dfeedf00dfeed"  # stands in for a secret: it must be nowhere but on the wire
PASSWORD = "correct-horse-battery"
WEBHOOK_PATH = "/services/T0SECRET/B0SECRET/s3cr3tTok3n"
SIGNING_SECRET = "whsec_c2hvcnQtc2VjcmV0LW9mLWEtc3RhbmQtaW4tMDE="
SECRETS = (TOKEN, PASSWORD, WEBHOOK_PATH, "s3cr3tTok3n", "Your code is 493021", SIGNING_SECRET, SIGNING_SECRET[6:])

MESSAGE = Message(
    notification_id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    attempt=1,
    to="",
    subject="",
    body="Your code is 493021",
    correlation_id="c0ffee-1",
    created_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
)


def outcome(backend: Backend, message: Message) -> Receipt | ChannelError:
    """What one send in a session of its own comes to, over a connection of its own."""
    try:
        with backend.session() as session:
            return session.send(message)
    except ChannelError as error:
        return error
    finally:
        backend.close()


def kind(result: Receipt | ChannelError) -> str:
    """The outcome in a word: what the caller decides by."""
    match result:
        case Receipt():
            return "sent"
        case PermanentError():
            return "permanent"
        case RateLimited():
            return "rate limited"
        case ConfigurationError():
            return "configuration"
        case TransientError():
            return "unknown" if result.outcome_unknown else "not sent"
    raise AssertionError(f"{type(result)} is no kind of the contract")


class Provider(ABC):
    """A backend, and the stand-in that it sends to."""

    accepts: Answer
    refuses_message: Answer
    asks_later: Answer  # and has certainly not sent
    refuses_us: Answer
    talks_nonsense: Answer
    to: str
    subject = ""
    has_a_network = True  # whether it can be absent, or behind what speaks another protocol

    @property
    def label(self) -> str:
        """What it is called in the table of results."""
        return type(self).__name__.lower()

    @property
    def table(self) -> Table:
        table = self.backend(0).errors
        assert table is not None, f"{self.label} has no table of its errors"
        return table

    @abstractmethod
    def wire(self, row: Meaning) -> Answer:
        """How an answer looks that this row is about; skips where there is none."""

    def arrange(self, stand_in: StandIn, row: Meaning) -> None:
        """Have the stand-in do what this row is about."""
        self.answer(stand_in, self.wire(row))

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        """What comes of one message to a stand-in that is arranged for this row."""
        return outcome(self.backend(stand_in.port), self.message)

    weaker: Mapping[str, str] = {}  # tests of what this backend does not promise, and why

    @abstractmethod
    def stand_in(self, tls: ssl.SSLContext | None = None) -> StandIn: ...

    @abstractmethod
    def answer(self, stand_in: StandIn, answer: Answer) -> None:
        """Have the stand-in say this once it has read a whole message."""

    @abstractmethod
    def taken(self, stand_in: StandIn) -> list[str]:
        """The whole of each message that the stand-in has read."""

    @abstractmethod
    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend: ...

    def forbidden(self, port: int) -> Backend:
        """One that may not connect to this machine; skips where there is no such thing."""
        pytest.skip("may connect wherever its settings say")

    @property
    def message(self) -> Message:
        return MESSAGE._replace(to=self.to, subject=self.subject)


class HttpProvider(Provider):
    """One that is asked by one HTTP request; of a row that is a status, or a form of them, the status is all."""

    asks_later = http_answer(408)
    talks_nonsense = b"\x00\x01 what is HTTP\r\n\r\n"
    # Of each form of a status one that has no row of its own.
    forms = {"2xx": 202, "3xx": 302, "4xx": 418, "5xx": 500, ANY_OTHER: 199}  # noqa: RUF012 - never written

    def wire(self, row: Meaning) -> Answer:
        status = self.forms.get(row.code) or int(row.code)
        return http_answer(status, b"" if status == self.forms[ANY_OTHER] else b"<html>no</html>")

    def stand_in(self, tls: ssl.SSLContext | None = None) -> HttpStandIn:
        return HttpStandIn(tls=tls)

    def answer(self, stand_in: StandIn, answer: Answer) -> None:
        assert isinstance(stand_in, HttpStandIn)
        stand_in.answer = answer

    def taken(self, stand_in: StandIn) -> list[str]:
        assert isinstance(stand_in, HttpStandIn)
        return [f"{request.headers}{request.body.decode()}" for request in stand_in.requests]


class Slack(HttpProvider):
    accepts = http_answer(200, b"ok")
    refuses_message = http_answer(400, b"invalid_payload")
    refuses_us = http_answer(403, b"invalid_token")
    to = "default"

    def wire(self, row: Meaning) -> Answer:
        if row.code in SLACK_STATUSES:
            return http_answer(SLACK_STATUSES[row.code], row.code.encode())
        return super().wire(row)

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        url = f"{'https' if tls else 'http'}://localhost:{port}{WEBHOOK_PATH}"
        return type("Slack", (SlackWebhook,), {"send_timeout": limit}).from_options({"webhooks": {"default": url}})


class Twilio(HttpProvider):
    accepts = http_answer(201, json.dumps({"sid": "SM" + "a" * 32, "status": "queued"}).encode())
    refuses_message = http_answer(400, json.dumps({"code": 21211, "message": "no", "status": 400}).encode())
    asks_later = http_answer(400, json.dumps({"code": 21611, "message": "full", "status": 400}).encode())
    refuses_us = http_answer(401, json.dumps({"code": 20003, "message": "no", "status": 401}).encode())
    to = "+15005550010"
    statuses = {"20003": 401, "20429": 429, "20500": 500}  # noqa: RUF012 - never written

    def wire(self, row: Meaning) -> Answer:
        if row.code in FAILED:
            return http_answer(201, json.dumps({"sid": "SM" + "a" * 32, "status": row.code}).encode())
        if row.code.startswith("300") and row.kind is Kind.PERMANENT:
            failed = {"sid": "SM" + "a" * 32, "status": "failed", "error_code": int(row.code)}
            return http_answer(201, json.dumps(failed).encode())
        if len(row.code) == 5:
            status = self.statuses.get(row.code, 400)
            error = {"code": int(row.code), "message": "no", "status": status}
            return http_answer(status, json.dumps(error).encode())
        return super().wire(row)

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        options = {
            "account_sid": ACCOUNT,
            "auth_token": TOKEN,
            "from_number": "+15005550006",
            "base_url": f"{'https' if tls else 'http'}://localhost:{port}",
        }
        return type("Twilio", (TwilioSms,), {"send_timeout": limit}).from_options(options)


class Receivers:
    """Who the channel `webhook` asks where an endpoint is."""

    def __init__(self) -> None:
        self.known: dict[str, Endpoint] = {}
        self.switched_off: dict[str, str] = {}

    def find(self, endpoint_id: str) -> Endpoint | None:
        return self.known.get(endpoint_id)

    def switch_off(self, endpoint_id: str, reason: str) -> None:
        self.switched_off[endpoint_id] = reason


receivers = Receivers()


class Webhook(HttpProvider):
    accepts = http_answer(204)
    refuses_message = http_answer(410)
    refuses_us = http_answer(401)
    to = "0190163d-8694-739b-aea5-966c26f8ad91"

    def wire(self, row: Meaning) -> Answer:
        if row.code == "2xx":
            pytest.skip("any 2xx is a receiver's yes")
        return super().wire(row)

    def taken(self, stand_in: StandIn) -> list[str]:
        assert isinstance(stand_in, HttpStandIn)
        for request in stand_in.requests:  # these tell when it was tried, and are another's at each attempt
            request.headers.pop("webhook-timestamp", None)
            request.headers.pop("webhook-signature", None)
        return super().taken(stand_in)

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        return self._at(f"{'https' if tls else 'http'}://localhost:{port}", limit, allowed=["127.0.0.0/8", "::1/128"])

    def forbidden(self, port: int) -> Backend:
        return self._at(f"https://localhost:{port}", timedelta(seconds=10), allowed=[])

    def _at(self, origin: str, limit: timedelta, *, allowed: list[str]) -> Backend:
        receivers.known[self.to] = Endpoint(f"{origin}{WEBHOOK_PATH}", [SIGNING_SECRET], is_active=True)
        options = {"endpoints": f"{__name__}.receivers", "allowed_networks": allowed}
        return type("Webhook", (StandardWebhook,), {"send_timeout": limit}).from_options(options)


class Smtp(Provider):
    accepts = b"250 2.0.0 queued\r\n"
    refuses_message = b"554 5.6.0 not like this\r\n"
    asks_later = b"451 4.3.0 later\r\n"
    refuses_us = b"535 5.7.8 no\r\n"
    talks_nonsense = b"what is SMTP\r\n"
    to = "ada@example.com"
    subject = "A subject"
    # The reply that a row is about, and the stage at which it comes, where that is not the recipient's.
    replies = {  # noqa: RUF012 - never written
        "5yz before RCPT": b"550 5.7.1 not from you\r\n",
        "552 MAIL": b"552 too large\r\n",
        "5.3.4 MAIL": b"554 5.3.4 too large\r\n",
        "5.1.1": b"550 5.1.1 no such mailbox\r\n",
        "5.1.x": b"556 5.1.10 takes no mail\r\n",
        "5.7.x": b"571 5.7.1 not here\r\n",
        "5yz": b"500 what\r\n",
        "4.3.x": b"451 4.3.0 cannot look that up\r\n",
        "4yz RCPT": b"450 4.2.1 come back later\r\n",
        "4yz": b"452 full\r\n",
        NO_REPLY: b"220 hello\r\n",
        f"{NO_REPLY} in doubt": b"220 hello\r\n",
    }
    stages = {  # noqa: RUF012 - never written
        "5yz before RCPT": "MAIL",
        "552 MAIL": "MAIL",
        "5.3.4 MAIL": "MAIL",
        "554": ".",
        "5yz": ".",
        "4yz": ".",
        f"{NO_REPLY} in doubt": ".",
    }

    def wire(self, row: Meaning) -> Answer:
        return self.replies.get(row.code) or f"{row.code} no\r\n".encode()

    def arrange(self, stand_in: StandIn, row: Meaning) -> None:
        if row.code != "not_supported":  # which is what a stand-in does without a word
            self.reply(stand_in, self.stages.get(row.code, "RCPT"), self.wire(row))

    def reply(self, stand_in: StandIn, stage: str, answer: Answer) -> None:
        assert isinstance(stand_in, SmtpStandIn)
        stand_in.replies[stage] = answer

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        if row.code == "not_supported":
            backend = SmtpEmail(sender="shop@example.com", host="localhost", port=stand_in.port, security="starttls")
            return outcome(backend, self.message)
        return super().send(stand_in, row)

    def stand_in(self, tls: ssl.SSLContext | None = None) -> SmtpStandIn:
        return SmtpStandIn(tls=tls)

    def answer(self, stand_in: StandIn, answer: Answer) -> None:
        self.reply(stand_in, ".", answer)

    def taken(self, stand_in: StandIn) -> list[str]:
        assert isinstance(stand_in, SmtpStandIn)
        return [mail.decode() for mail in stand_in.mails]

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        options = {
            "sender": "Shop <shop@example.com>",
            "host": "localhost",
            "port": port,
            "username": "shop",
            "password": PASSWORD,
            "security": "tls" if tls else "none",
        }
        return type("Smtp", (SmtpEmail,), {"send_timeout": limit}).from_options(options)


class Resend(HttpProvider):
    accepts = http_answer(200, b'{"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}')
    refuses_message = http_answer(422, b'{"statusCode": 422, "name": "invalid_parameter", "message": "no"}')
    asks_later = http_answer(409, b'{"statusCode": 409, "name": "concurrent_idempotent_requests", "message": "wait"}')
    refuses_us = http_answer(403, b'{"statusCode": 403, "name": "invalid_api_key", "message": "no"}')
    to = "ada@example.com"
    subject = "A subject"

    # The statuses of https://resend.com/docs/api-reference/errors, where it is not 422.
    statuses = {  # noqa: RUF012 - never written
        **dict.fromkeys(("missing_api_key", "restricted_api_key"), 401),
        **dict.fromkeys(("invalid_api_key", "suspended_api_key"), 403),
        **dict.fromkeys(("validation_error", "invalid_idempotency_key"), 400),
        **dict.fromkeys(("monthly_quota_exceeded", "daily_quota_exceeded", "rate_limit_exceeded"), 429),
        **dict.fromkeys(("concurrent_idempotent_requests", "invalid_idempotent_request"), 409),
        **dict.fromkeys(("application_error", "internal_server_error"), 500),
        "not_found": 404,
        "method_not_allowed": 405,
        "security_error": 451,
    }

    def wire(self, row: Meaning) -> Answer:
        if "_" not in row.code and row.code not in self.statuses:
            return super().wire(row)
        given, _, name = row.code.rpartition(" ")
        status = int(given) if given else self.statuses.get(name, 422)
        return http_answer(status, json.dumps({"statusCode": status, "name": name, "message": "no"}).encode())

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        url = f"{'https' if tls else 'http'}://localhost:{port}"
        options = {"api_key": TOKEN, "sender": "Shop <shop@example.com>", "base_url": url}
        return type("Limited", (resend.Resend,), {"send_timeout": limit}).from_options(options)


_NO_POOL = dict.fromkeys(
    (
        "test_a_session_sends_a_batch_over_one_connection",
        "test_batches_within_a_few_seconds_share_a_connection",
        "test_two_threads_at_once_share_no_connection",
        "test_an_idle_connection_that_the_provider_closed_is_replaced",
        "test_an_idle_connection_closed_under_tls_is_replaced",
    ),
    "each message has a connection of its own",
)
_NO_STAGES = dict.fromkeys(
    (
        "test_a_connection_closed_before_the_message_means_not_sent",
        "test_a_provider_silent_from_the_start_means_not_sent",
        "row timeout",
    ),
    "how far a connection came is not known",
)


class DjangoSmtp(Smtp):
    """Django's own backend, as any other of Django's."""

    weaker: Mapping[str, str] = {**_NO_POOL, **_NO_STAGES}

    def wire(self, row: Meaning) -> Answer:
        if row.code == "error":
            pytest.skip("an exception of nobody's: tests/contract/test_django_email.py raises one")
        pytest.skip("what a relay replies is a row of smtp_email's")

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        options = {
            "email_backend": "django.core.mail.backends.smtp.EmailBackend",
            "email_options": {
                "host": "localhost",
                "port": port,
                "username": "shop",
                "password": PASSWORD,
                "use_ssl": tls,
            },
            "sender": "Shop <shop@example.com>",
        }
        return type("Limited", (django_email.DjangoEmail,), {"send_timeout": limit}).from_options(options)


class Postmark(HttpProvider):
    """A provider of anymail's."""

    accepts = http_answer(
        200, b'{"ErrorCode": 0, "Message": "OK", "MessageID": "b7bc2f4a-e38e", "To": "ada@example.com"}'
    )
    refuses_message = http_answer(422, b'{"ErrorCode": 300, "Message": "Invalid metadata content."}')
    refuses_us = http_answer(401, b'{"ErrorCode": 10, "Message": "Bad or missing Server API token."}')
    to = "ada@example.com"
    subject = "A subject"
    weaker: Mapping[str, str] = {
        **_NO_POOL,
        **_NO_STAGES,
        "test_a_dripped_answer_under_tls_keeps_to_the_deadline": "only the authorities of requests count",
    }

    def wire(self, row: Meaning) -> Answer:
        if row.code in django_email.ERRORS.own and not row.code.isdigit():
            pytest.skip("no answer of a provider's: tests/contract/test_django_email.py raises it")
        return super().wire(row)

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        options = {
            "email_backend": "anymail.backends.postmark.EmailBackend",
            "email_options": {
                "server_token": TOKEN,
                "api_url": f"{'https' if tls else 'http'}://localhost:{port}/",
            },
            "sender": "Shop <shop@example.com>",
        }
        return type("Limited", (django_email.DjangoEmail,), {"send_timeout": limit}).from_options(options)


class Apprise(HttpProvider):
    accepts = http_answer(200)
    refuses_message = http_answer(400)
    refuses_us = http_answer(403)
    to = "phone"
    weaker: Mapping[str, str] = {
        **_NO_POOL,
        **_NO_STAGES,
        **dict.fromkeys(
            (
                "test_a_refused_message_is_permanent",
                "test_a_provider_that_asks_for_later_has_not_sent",
                "test_refused_credentials_are_a_matter_of_configuration",
                "test_nobody_listening_means_not_sent",
                "test_a_certificate_nobody_vouches_for_stops_the_send",
                "test_a_port_without_tls_stops_the_send",
            ),
            "a no of the library has no reason: all is unknown",
        ),
        **dict.fromkeys(
            ("test_the_correlation_id_goes_with_the_message", "test_nothing_stored_can_add_a_header"),
            "the library takes no headers of ours",
        ),
        "test_a_dripped_answer_under_tls_keeps_to_the_deadline": "only the authorities of requests count",
    }

    def wire(self, row: Meaning) -> Answer:
        if row.code not in {"False", "timeout"}:
            pytest.skip("no answer of a service's: tests/contract/test_apprise.py has it happen")
        return Instead.HANG if row.code == "timeout" else self.refuses_message

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        return outcome(self.backend(stand_in.port, limit=timedelta(seconds=2)), self.message)

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        url = f"{'jsons' if tls else 'json'}://shop:{PASSWORD}@localhost:{port}{WEBHOOK_PATH}"
        return type("Limited", (apprise.Apprise,), {"send_timeout": limit}).from_options({"urls": {"phone": url}})


@contextmanager
def served(provider: Provider, answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    with provider.stand_in(tls) as stand_in:
        provider.answer(stand_in, provider.accepts if answer is None else answer)
        yield stand_in


PROVIDERS: list[type[Provider]] = [Slack, Twilio, Smtp, Webhook, Resend, DjangoSmtp, Postmark, Apprise]
