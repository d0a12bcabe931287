"""Email, by Django's SMTP backend, through one relay."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from ssl import SSLContext
from typing import Any, ClassVar

from channels import deadline, mail, text
from channels.contract import (
    ChannelError,
    ConfigurationError,
    Message,
    Receipt,
    Refused,
    SettingProblem,
)
from channels.email_backend import EmailBackend, sender_address
from channels.errors import Kind, Meaning, Table
from channels.failure import FAILURES, failure_of
from channels.http_once import is_loopback
from channels.idle import Idle
from channels.smtp_once import Relay

_REPLIES = "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3"
_AUTH = "https://www.rfc-editor.org/rfc/rfc4954#section-6"
_SIZE = "https://www.rfc-editor.org/rfc/rfc1870"
_STATUSES = "https://www.rfc-editor.org/rfc/rfc3463"
_TLS = "https://www.rfc-editor.org/rfc/rfc3207#section-4"
_DATA = "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.5"
NO_REPLY = "no reply"  # the code of a row for what is no reply of SMTP's

# By the enhanced status (RFC 3463) where there is one, the reply's code, or the form of either. A stage ends the code
# of a row that is for it alone.
ERRORS = Table(
    Meaning("530", Kind.CONFIGURATION, "authentication is required", _AUTH),
    Meaning("534", Kind.CONFIGURATION, "the authentication mechanism is too weak", _AUTH),
    Meaning("535", Kind.CONFIGURATION, "our credentials are refused", _AUTH),
    Meaning("538", Kind.CONFIGURATION, "encryption is required for this mechanism", _AUTH),
    # The greeting, the login or the sender, of any mail of ours.
    Meaning("5yz before RCPT", Kind.CONFIGURATION, "a no before the recipient", _REPLIES),
    Meaning("552 MAIL", Kind.PERMANENT, "larger than the relay takes", f"{_SIZE}#section-6.1"),
    Meaning("5.3.4 MAIL", Kind.PERMANENT, "larger than the relay takes", f"{_STATUSES}#section-3.4"),
    Meaning("5.1.1", Kind.PERMANENT, "no such mailbox", f"{_STATUSES}#section-3.2", refuses=Refused.RECIPIENT),
    Meaning("550", Kind.PERMANENT, "mailbox unavailable, or refused by policy", _REPLIES),
    Meaning("551", Kind.PERMANENT, "the recipient is elsewhere", _REPLIES),
    Meaning("552", Kind.PERMANENT, "too large, or the mailbox is full", _REPLIES),
    Meaning("553", Kind.PERMANENT, "mailbox name not allowed", _REPLIES),
    Meaning("554", Kind.PERMANENT, "transaction failed", _REPLIES),
    Meaning("5.1.x", Kind.PERMANENT, "the address is refused", f"{_STATUSES}#section-3.2"),
    Meaning("5.7.x", Kind.PERMANENT, "refused by policy", f"{_STATUSES}#section-3.8"),
    Meaning("5yz", Kind.PERMANENT, "any other no to the recipient or the mail", _REPLIES),
    Meaning("421", Kind.TRANSIENT, "the relay is closing", _REPLIES),
    Meaning("4.3.x", Kind.TRANSIENT, "the relay has trouble of its own", f"{_STATUSES}#section-3.4"),
    Meaning("4yz RCPT", Kind.TRANSIENT, "not now, to this recipient", _REPLIES, isolated=True),
    Meaning("4yz", Kind.TRANSIENT, "not now", _REPLIES),
    Meaning(NO_REPLY, Kind.TRANSIENT, "neither yes nor no, before the end of the mail", _DATA),
    Meaning(f"{NO_REPLY} in doubt", Kind.UNKNOWN, "neither yes nor no, after the end of the mail", _DATA),
    Meaning("not_supported", Kind.CONFIGURATION, "no STARTTLS or AUTH, which are asked for", _TLS),
    beneath=FAILURES,
)

ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


class SmtpEmail(EmailBackend):
    """Mail from one sender through one relay.

    Options: `sender` (an address, with or without a name), `host`, `port`, `username`, `password`,
    `security` ("tls", "starttls" or "none"; never less than asked for) and `ca_file`, a private authority.
    """

    name = "smtp_email"
    send_timeout = timedelta(seconds=20)  # relays scan a mail before they answer
    errors: ClassVar = ERRORS

    def __init__(
        self,
        *,
        sender: str = "",
        host: str = "",
        port: int = 465,
        username: str = "",
        password: str = "",
        security: str = "tls",
        ca_file: str = "",
    ) -> None:
        self.sender = sender
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.security = security
        self.ca_file = ca_file
        self._idle: Idle[Relay] = Idle(Relay.part)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SmtpEmail:
        names = ("sender", "host", "port", "username", "password", "security", "ca_file")
        return cls(**{name: options[name] for name in names if name in options})

    @property
    def configured(self) -> bool:
        return bool(self.host and self.sender)

    def problems(self) -> Sequence[SettingProblem]:
        if not (self.host or self.sender or self.username or self.password):
            return []
        found = []
        if not self.host:
            found.append(SettingProblem("SMTP_HOST", "is missing beside other variables of email"))
        if not self.sender:
            found.append(SettingProblem("EMAIL_SENDER", "is missing beside other variables of email"))
        elif not sender_address(self.sender):
            found.append(SettingProblem("EMAIL_SENDER", "must be one address, such as Shop <shop@example.com>"))
        if self.username and not self.password:
            found.append(SettingProblem("SMTP_PASSWORD", "is missing, while SMTP_USERNAME is set"))
        if self.password and not self.username:
            found.append(SettingProblem("SMTP_USERNAME", "is missing, while SMTP_PASSWORD is set"))
        if self.security == "none" and self.username and not is_loopback(self.host):
            detail = "none would send SMTP_PASSWORD in the clear: use tls or starttls"
            found.append(SettingProblem("SMTP_SECURITY", detail))
        if self.ca_file and not _is_readable(self.ca_file):
            found.append(SettingProblem("SMTP_CA_FILE", "is not a file of certificates that can be read"))
        return found

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self, self._idle)

    def close(self) -> None:
        self._idle.close()

    def relay(self) -> Relay:
        """A connection, not yet open. Raises: ConfigurationError where `ca_file` holds no certificates."""
        try:
            tls = self._tls
        except OSError:
            raise ConfigurationError("ca_file", "SMTP_CA_FILE cannot be read") from None
        return Relay(
            host=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            security=self.security,
            tls=tls,
        )

    @cached_property
    def _tls(self) -> SSLContext:
        return deadline.tls_context(self.ca_file)


class _Session:
    def __init__(self, backend: SmtpEmail, idle: Idle[Relay]) -> None:
        self._backend = backend
        self._idle = idle

    def send(self, message: Message) -> Receipt:
        sender = sender_address(self._backend.sender)
        if not sender:
            raise ConfigurationError("sender", "EMAIL_SENDER is not one address")
        to, octets = mail.octets(message, sender=self._backend.sender, address=sender)
        relay = self._idle.take(None) or self._backend.relay()
        with deadline.within(self._backend.send_timeout):
            failure: ChannelError | None = None
            try:
                reply = relay.send(sender=sender, to=to, mail=octets)
            except (smtplib.SMTPException, OSError) as error:
                failure = _failure(error, message, unknown=relay.in_doubt)
                if not _is_in_step(error):
                    relay.close()
            except BaseException:
                relay.close()
                raise
        if relay.sock is not None:
            self._idle.give(None, relay)
        if failure is not None:
            raise failure
        return Receipt(provider_id=mail.message_id(message, sender), code="250", detail=_words(reply, message))


def refusal_of(error: Exception, message: Message) -> ChannelError | None:
    """What the relay's reply in an error of smtplib's means, whoever spoke to it; None where it holds no reply."""
    reply = _reply(error)
    if reply is None:
        return None
    # One that is neither yes nor no settles nothing.
    return _answered(error, *reply, message, unknown=not 400 <= reply[0] <= 599)


def _failure(error: Exception, message: Message, *, unknown: bool) -> ChannelError:
    reply = _reply(error)
    if reply is not None:
        return _answered(error, *reply, message, unknown=unknown)
    if isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(error, smtplib.SMTPException):
        stage = "after the end of the mail was written" if unknown else "before the end of the mail was written"
        return failure_of(error, stage, unknown=unknown)
    # No STARTTLS, no AUTH, or no kind of AUTH that we know; the words are smtplib's own.
    return ERRORS["not_supported"].error(text.one_line(str(error)))


def _answered(error: Exception, status: int, words: bytes | str, message: Message, *, unknown: bool) -> ChannelError:
    shown = _words(words, message)
    enhanced = ENHANCED.match(shown)
    codes = [enhanced[0], str(status)] if enhanced else [str(status)]
    # A text, not bytes: smtplib's own complaint about a line without end, which says neither yes nor no.
    if unknown or not 400 <= status <= 599 or isinstance(words, str):
        row = ERRORS[f"{NO_REPLY} in doubt" if unknown else NO_REPLY]
    else:
        row = ERRORS.first(*_rows(error, codes, f"{status // 100}yz"))
    return row.error(f"answered {status}: {shown}", code=" ".join(reversed(codes)))


def _rows(error: Exception, codes: Sequence[str], form: str) -> Iterator[str]:
    """The codes of the rows for a reply, the one that says most first."""
    stage = _stage(error)
    yield from (f"{code} {stage}" for code in codes)
    if form == "5yz" and stage not in {"RCPT", "DATA"}:
        yield "5yz before RCPT"
    yield from codes
    yield from (f"{code[:3]}.x" for code in codes if ENHANCED.fullmatch(code))
    yield f"{form} {stage}"
    yield form


def _stage(error: Exception) -> str:
    """The command that was answered; "" for the greeting and the login."""
    match error:
        case smtplib.SMTPSenderRefused():
            return "MAIL"
        case smtplib.SMTPRecipientsRefused():
            return "RCPT"
        case smtplib.SMTPDataError():
            return "DATA"
    return ""


def _reply(error: Exception) -> tuple[int, bytes | str] | None:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code, error.smtp_error
    return None


def _is_in_step(error: Exception) -> bool:
    """Whether the relay said no in good order, and waits for the next mail.

    Not after a no to DATA: smtplib raises then without a RSET, and the relay still holds half a mail.
    """
    if not isinstance(error, (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused)):
        return False
    reply = _reply(error)
    return reply is not None and 400 <= reply[0] <= 599 and reply[0] != 421


def _words(reply: bytes | str, message: Message) -> str:
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return text.one_line(words, hide=(message.to, message.body))


def _is_readable(ca_file: str) -> bool:
    try:
        deadline.tls_context(ca_file)
    except OSError:
        return False
    return True
