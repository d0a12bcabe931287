"""More backends as the contract suite sees them: by libraries that speak for many providers, and by Resend."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from channels import apprise, django_email, resend
from channels.contract import Backend
from tests.contract.providers import PASSWORD, TOKEN, WEBHOOK_PATH, HttpProvider, Provider, Smtp
from tests.contract.stand_in import http_answer


class Resend(HttpProvider):
    accepts = http_answer(200, b'{"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}')
    refuses_message = http_answer(422, b'{"statusCode": 422, "name": "invalid_parameter", "message": "no"}')
    asks_later = http_answer(409, b'{"statusCode": 409, "name": "concurrent_idempotent_requests", "message": "wait"}')
    refuses_us = http_answer(403, b'{"statusCode": 403, "name": "invalid_api_key", "message": "no"}')
    to = "ada@example.com"
    subject = "A subject"

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
    ),
    "how far a connection came is not known",
)


class DjangoSmtp(Smtp):
    """Django's own backend, as any other of Django's."""

    weaker: Mapping[str, str] = {**_NO_POOL, **_NO_STAGES}

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
    accepts = http_answer(200, b"ok")
    refuses_message = http_answer(400, b"no")
    refuses_us = http_answer(403, b"no")
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

    def backend(self, port: int, *, limit: timedelta = timedelta(seconds=10), tls: bool = False) -> Backend:
        url = f"{'jsons' if tls else 'json'}://shop:{PASSWORD}@localhost:{port}{WEBHOOK_PATH}"
        return type("Limited", (apprise.Apprise,), {"send_timeout": limit}).from_options({"urls": {"phone": url}})


MORE_PROVIDERS: list[type[Provider]] = [Resend, DjangoSmtp, Postmark, Apprise]
