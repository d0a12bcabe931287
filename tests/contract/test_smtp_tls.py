"""Email to a real server (aiosmtpd): encrypted from the first byte, by STARTTLS, or not at all, never by half."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from channels.smtp import SmtpEmail
from tests.contract.conftest import Authority
from tests.contract.providers import PASSWORD, Smtp, kind, outcome
from tests.ports import free_port


@dataclass
class Relay:
    """What a real server took, and whether it came encrypted."""

    port: int = field(default_factory=free_port)
    mails: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content)
        self.encrypted.append(session.ssl is not None)
        return "250 2.0.0 taken"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        self.logins.append(given.login)
        right = isinstance(given, LoginPassword) and given.password == PASSWORD.encode()
        return AuthResult(success=right, handled=False)


class ImplicitTls(SMTP):
    """aiosmtpd knows of STARTTLS only: told that the connection is encrypted already, it offers AUTH."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.session.ssl = transport.get_extra_info("ssl_object")
        self._tls_protocol = transport  # type: ignore[assignment]


class Server(Controller):
    def factory(self) -> SMTP:
        kind = ImplicitTls if self.ssl_context else SMTP
        return kind(self.handler, **self.SMTP_kwargs)


@contextmanager
def serving(**options: Any) -> Iterator[Relay]:
    relay = Relay()
    options.setdefault("authenticator", relay.authenticate)
    server = Server(relay, hostname="127.0.0.1", port=relay.port, **options)
    server.start()
    try:
        yield relay
    finally:
        server.stop()


def backend(relay: Relay, security: str, authority: Authority | None = None, **changes: Any) -> SmtpEmail:
    options = {
        "sender": "Shop <shop@example.com>",
        "host": "localhost",
        "port": relay.port,
        "username": "shop",
        "password": PASSWORD,
        "security": security,
        "ca_file": authority.pem if authority else "",
    }
    return SmtpEmail.from_options({**options, **changes})


def test_implicit_tls_with_a_private_authority(authority: Authority) -> None:
    with serving(ssl_context=authority.server) as relay:
        assert kind(outcome(backend(relay, "tls", authority), Smtp().message)) == "sent"
        assert (relay.encrypted, relay.logins) == ([True], [b"shop"])


def test_starttls_with_a_private_authority(authority: Authority) -> None:
    with serving(tls_context=authority.server, require_starttls=True) as relay:
        assert kind(outcome(backend(relay, "starttls", authority), Smtp().message)) == "sent"
        assert (relay.encrypted, relay.logins) == ([True], [b"shop"])


def test_no_encryption_only_where_it_is_asked_for() -> None:
    with serving(auth_require_tls=False) as relay:
        assert kind(outcome(backend(relay, "none"), Smtp().message)) == "sent"
        assert relay.encrypted == [False]


def test_a_relay_that_offers_no_starttls_gets_neither_password_nor_mail(authority: Authority) -> None:
    with serving(auth_require_tls=False) as relay:
        assert kind(outcome(backend(relay, "starttls", authority), Smtp().message)) == "configuration"
        assert (relay.mails, relay.logins) == ([], [])


def test_a_relay_without_tls_gets_neither_password_nor_mail(authority: Authority) -> None:
    with serving(auth_require_tls=False) as relay:
        assert kind(outcome(backend(relay, "tls", authority), Smtp().message)) == "configuration"
        assert (relay.mails, relay.logins) == ([], [])


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_an_unknown_certificate_gets_neither_password_nor_mail(authority: Authority, security: str) -> None:
    with serving(**_encrypted(security, authority.server)) as relay:
        assert kind(outcome(backend(relay, security), Smtp().message)) == "configuration"
        assert (relay.mails, relay.logins) == ([], [])


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_for_another_host_gets_neither_password_nor_mail(authority: Authority, security: str) -> None:
    with serving(**_encrypted(security, authority.server)) as relay:
        elsewhere = backend(relay, security, authority, host="127.0.0.1")
        assert kind(outcome(elsewhere, Smtp().message)) == "configuration"
        assert (relay.mails, relay.logins) == ([], [])


def test_a_wrong_password_fails_no_mail(authority: Authority) -> None:
    with serving(ssl_context=authority.server) as relay:
        wrong = backend(relay, "tls", authority, password="wrong")
        assert kind(outcome(wrong, Smtp().message)) == "configuration"
        assert relay.mails == []


def test_an_authority_that_cannot_be_read_fails_no_mail() -> None:
    missing = SmtpEmail.from_options({"sender": "a@example.com", "host": "localhost", "ca_file": "/nowhere.pem"})
    assert kind(outcome(missing, Smtp().message)) == "configuration"


def _encrypted(security: str, context: ssl.SSLContext) -> dict[str, Any]:
    return {"ssl_context": context} if security == "tls" else {"tls_context": context, "require_starttls": True}
