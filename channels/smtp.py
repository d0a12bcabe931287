"""Email, by Django's SMTP backend, through one relay."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from email.utils import getaddresses
from functools import cache, cached_property
from ssl import SSLContext
from typing import Any

from channels import deadline, mail, mail_content, text
from channels.contract import (
    Backend,
    ChannelError,
    ConfigurationError,
    Content,
    Message,
    PermanentError,
    Receipt,
    Refused,
    SettingProblem,
    TransientError,
    Unacceptable,
)
from channels.failure import failure_of
from channels.http_once import is_loopback
from channels.idle import Idle
from channels.rules import Recipient, Rules, Subject
from channels.smtp_once import Relay

# What a permanent reply (5yz) refuses: None for our credentials; any other refuses the message.
# https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3 and https://www.rfc-editor.org/rfc/rfc4954#section-6
ERRORS: Mapping[str, Refused | None] = {
    "530": None,  # authentication required
    "534": None,  # authentication mechanism too weak
    "535": None,  # authentication credentials invalid
    "538": None,  # encryption required for this mechanism
    "550": Refused.MESSAGE,  # mailbox unavailable, or refused by policy
    "551": Refused.MESSAGE,  # not local
    "552": Refused.MESSAGE,  # too large, or the mailbox is full
    "553": Refused.MESSAGE,  # mailbox name not allowed
    "554": Refused.MESSAGE,  # transaction failed
    # https://www.rfc-editor.org/rfc/rfc3463 says more, where it is given:
    "5.1.1": Refused.RECIPIENT,  # no such mailbox
}
TOO_LARGE = frozenset({"552", "5.3.4"})

MESSAGE_LIMIT = 256 * 1024  # bytes of UTF-8
SUBJECT_LIMIT = 255  # characters
IN_CONVERSATION = (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError)
ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


class SmtpEmail(Backend):
    """Mail from one sender through one relay.

    Options: `sender` (an address, with or without a name), `host`, `port`, `username`, `password`,
    `security` ("tls", "starttls" or "none"; never less than asked for) and `ca_file`, a private authority.
    """

    name = "smtp_email"
    send_timeout = timedelta(seconds=20)  # relays scan a mail before they answer

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
        elif not _sender_address(self.sender):
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

    def validate(self, *, to: str, subject: str, body: str) -> str:
        """`to` is one bare address. Its domain comes back in lower-case ASCII (IDNA 2008)."""
        if not subject.strip():
            raise Unacceptable("subject", "required", "must not be empty: an email needs a subject")
        text.require_line("subject", subject, limit=SUBJECT_LIMIT)
        text.require_body(body, limit=MESSAGE_LIMIT)
        if (size := len(body.encode())) > MESSAGE_LIMIT:
            detail = f"must be at most {MESSAGE_LIMIT} bytes of UTF-8, not {size}"
            raise Unacceptable("message", "too_long", detail)
        return text.normal_address("to", to)

    def validate_content(self, given: Mapping[str, Any]) -> Content:
        return mail_content.content(given)

    def rules(self) -> Rules:
        """Stricter in one thing: a domain in ASCII. No database knows how IDNA writes ß."""
        return Rules(
            subject=Subject.REQUIRED,
            subject_limit=SUBJECT_LIMIT,
            message_limit=MESSAGE_LIMIT,
            message_bytes=MESSAGE_LIMIT,
            recipient=Recipient.EMAIL,
            refusal=(text.INVALID_ADDRESS[0], f"{text.INVALID_ADDRESS[1]}, its domain in ASCII (xn--…)"),
        )

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
        sender = _sender_address(self._backend.sender)
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


@cache
def _sender_address(sender: str) -> str:
    """The bare address of `Name <address>` or `address`; "" where it is not exactly one."""
    addresses = getaddresses([sender])
    if len(addresses) != 1 or not sender.isprintable():
        return ""
    try:
        return text.normal_address("sender", addresses[0][1])
    except Unacceptable:
        return ""


def _failure(error: Exception, message: Message, *, unknown: bool) -> ChannelError:
    reply = _reply(error)
    if reply is not None:
        return _answered(error, *reply, message, unknown=unknown)
    if isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(error, smtplib.SMTPException):
        stage = "after the end of the mail was written" if unknown else "before the end of the mail was written"
        return failure_of(error, stage, unknown=unknown)
    # No STARTTLS, no AUTH, or no kind of AUTH that we know; the words are smtplib's own.
    return ConfigurationError("not_supported", text.one_line(str(error)))


def _answered(error: Exception, status: int, words: bytes | str, message: Message, *, unknown: bool) -> ChannelError:
    shown = _words(words, message)
    enhanced = ENHANCED.match(shown)
    codes = [str(status), enhanced[0]] if enhanced else [str(status)]
    code, detail = " ".join(codes), f"answered {status}: {shown}"
    # A text, not bytes: smtplib's own complaint about a line without end, which says neither yes nor no.
    if unknown or not 500 <= status <= 599 or isinstance(words, str):
        # A 4yz to RCPT is about one mailbox: it says nothing of the relay, and holds nobody else up.
        isolated = isinstance(error, smtplib.SMTPRecipientsRefused) and 400 <= status <= 499 and status != 421
        return TransientError(code, detail, outcome_unknown=unknown, isolated=isolated and not unknown)
    refused = next((ERRORS[said] for said in reversed(codes) if said in ERRORS), Refused.MESSAGE)
    if refused is None or _is_about_us(error, codes):
        return ConfigurationError(code, detail)
    return PermanentError(code, detail, refuses=refused)


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


def _is_about_us(error: Exception, codes: Sequence[str]) -> bool:
    """Whether a permanent reply came before the recipient, and so would come to every mail of ours."""
    if isinstance(error, smtplib.SMTPSenderRefused):
        return TOO_LARGE.isdisjoint(codes)
    return not isinstance(error, IN_CONVERSATION)


def _words(reply: bytes | str, message: Message) -> str:
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return text.one_line(words, hide=(message.to, message.body))


def _is_readable(ca_file: str) -> bool:
    try:
        deadline.tls_context(ca_file)
    except OSError:
        return False
    return True
