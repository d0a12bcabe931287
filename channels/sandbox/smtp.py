"""Plays an SMTP relay, by aiosmtpd: takes mail for anybody, and keeps it.

Any user name and password will do, except the password `wrong`. A recipient whose local part is
`reply-` and a code (`reply-450@example.com`) gets that reply at RCPT.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import re
from collections.abc import Collection
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, syntax

from channels.sandbox.faults import Fault, Faults, Kind, Stage
from channels.sandbox.mailbox import Mailbox

SIZE_LIMIT = 10 * 1024 * 1024  # bytes; as much as most relays take at the least
REPLY = re.compile(r"reply-([245][0-9]{2})@.*")

logging.getLogger("mail.log").setLevel(logging.WARNING)  # it tells every command at INFO


class Connection(SMTP):
    """One client's connection, with the faults that only the protocol's own level can play."""

    def __init__(self, mailbox: Mailbox, faults: Faults, connections: set[Connection]) -> None:
        super().__init__(
            _Hooks(mailbox, faults),
            hostname="sandbox.invalid",
            ident="sandbox",
            data_size_limit=SIZE_LIMIT,
            auth_require_tls=False,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._connections = connections
        self.fault: Fault | None = None  # what befalls the message under way
        self._drip_ms = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the library's name
        fault = self.fault
        if fault and fault.kind is Kind.DROP_BEFORE:
            self.abort()
        elif fault and fault.kind is Kind.STATUS and fault.stage is Stage.DATA:
            await self.push(_reply(fault))
        else:
            await super().smtp_DATA(arg)

    async def push(self, status: Any) -> None:
        if not self._drip_ms:
            await super().push(status)
            return
        for octet in f"{status}\r\n".encode():
            self._writer.write(bytes([octet]))
            await asyncio.sleep(self._drip_ms / 1000)

    async def after_the_dot(self, fault: Fault) -> str | None:
        """Misbehave with a message that was taken, or not. Returns the reply, None for the usual one."""
        await asyncio.sleep(fault.latency_ms / 1000)
        if fault.kind is Kind.DROP_AFTER:
            self.abort()
        if fault.kind is Kind.HANG:
            await asyncio.get_running_loop().create_future()  # until the client goes, or we stop
        if fault.kind is Kind.DRIP:
            self._drip_ms = fault.drip_ms
        return _reply(fault) if fault.kind is Kind.STATUS else None


class _Hooks:
    """Where aiosmtpd asks what to answer."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults

    async def handle_MAIL(  # noqa: N802 - the library's name
        self, server: Connection, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        server.fault = None
        if fault := self._faults.pick("email", "", at_sender=True):
            return _reply(fault)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: Connection, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if asked := REPLY.fullmatch(address):
            return f"{asked[1]} {asked[1][0]}.0.0 as asked by the address"
        fault = self._faults.pick("email", address)
        if fault and fault.kind is Kind.STATUS and fault.stage is Stage.RCPT:
            return _reply(fault)
        server.fault = fault
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: Connection, _session: Session, envelope: Envelope
    ) -> str:
        fault, server.fault = server.fault, None
        queued = f"sandbox-{uuid4().hex}"
        if fault is None or fault.takes:
            self._take(envelope, queued)
        reply = await server.after_the_dot(fault) if fault else None
        return reply or f"250 2.0.0 OK: queued as {queued}"

    def _take(self, envelope: Envelope, queued: str) -> None:
        message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        part = message.get_body(("plain", "html"))
        text = part.get_content().replace("\r\n", "\n").removesuffix("\n") if part else ""
        shown = ("from", "to", "date", "message-id", "reply-to", "list-unsubscribe", "list-unsubscribe-post")
        extra = {name.lower(): str(value) for name, value in message.items() if _is_shown(name.lower(), shown)}
        extra |= _beyond_the_text(message)
        for to in envelope.rcpt_tos:
            self._mailbox.take(
                "email",
                to,
                text,
                subject=str(message["Subject"] or ""),
                provider_id=queued,
                correlation_id=str(message["X-Correlation-ID"] or ""),
                extra=extra,
            )


def _is_shown(name: str, shown: Collection[str]) -> bool:
    return name in shown or (name.startswith("x-") and name != "x-correlation-id")


def _beyond_the_text(message: EmailMessage) -> dict[str, str]:
    """The HTML as it is, and of each file its name, its type and how many bytes it has."""
    html = message.get_body(("html",))
    files = [
        f"{part.get_filename()} ({part.get_content_type()}, {len(part.get_payload(decode=True))} bytes)"
        for part in message.iter_attachments()
    ]
    found = {"html": html.get_content().replace("\r\n", "\n") if html else "", "attachments": ", ".join(files)}
    return {name: value for name, value in found.items() if value}


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and given.password != b"wrong"
    return AuthResult(success=right, handled=False)  # not handled: the library is to say 235 or 535


def _reply(fault: Fault) -> str:
    return f"{fault.status} {fault.body or 'the sandbox was told to say so'}"
