"""Email, by any email backend of Django's: those of django-anymail (https://anymail.dev), or one of your own.

It promises less than the backends that know their provider: see docs/channels.md.
"""

from __future__ import annotations

import smtplib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, ClassVar

import requests
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from channels import deadline, mail, smtp, text
from channels.contract import (
    ChannelError,
    ConfigurationError,
    File,
    Message,
    Receipt,
    Refused,
    SettingProblem,
)
from channels.email_backend import EmailBackend, required_sender, sender_address
from channels.errors import Kind, Meaning, Table
from channels.failure import failure_of, is_unconnected
from channels.http_errors import HTTP
from channels.http_once import Answer

ANYMAIL = "https://anymail.dev/en/stable/sending/exceptions/"
DJANGO = "https://docs.djangoproject.com/en/5.2/topics/email/#email-backends"


# By the class of an exception, the nearest of its bases that has a row; or by the status of an AnymailAPIError. What
# smtplib raises is read as it is for a relay of our own (channels/smtp.py).
ERRORS = Table(
    Meaning(
        "AnymailRecipientsRefused",
        Kind.PERMANENT,
        "the recipient is invalid or blocked",
        ANYMAIL,
        refuses=Refused.RECIPIENT,
    ),
    Meaning("AnymailInvalidAddress", Kind.PERMANENT, "an address cannot be parsed", ANYMAIL),
    Meaning("AnymailSerializationError", Kind.PERMANENT, "the mail cannot be written for the provider", ANYMAIL),
    Meaning("AnymailUnsupportedFeature", Kind.PERMANENT, "the provider lacks what the mail asks for", ANYMAIL),
    Meaning(
        "ImproperlyConfigured",
        Kind.CONFIGURATION,
        "the email backend's settings are wrong (AnymailConfigurationError is one of these)",
        "https://docs.djangoproject.com/en/5.2/ref/exceptions/#improperlyconfigured",
    ),
    Meaning("email_backend", Kind.CONFIGURATION, "the email backend cannot be made with its options", DJANGO),
    Meaning("not_counted", Kind.UNKNOWN, "the email backend counts no mail as sent", DJANGO),
    Meaning("timeout", Kind.UNKNOWN, "the email backend was not done in time, at whatever point", DJANGO),
    Meaning("error", Kind.UNKNOWN, "any other exception", DJANGO),
    Meaning(
        "429",
        Kind.RATE_LIMITED,
        "too many requests",
        "https://www.rfc-editor.org/rfc/rfc6585#section-4",
        patience=timedelta(seconds=10),
    ),
    beneath=HTTP,
)


class DjangoEmail(EmailBackend):
    """Mail from one sender.

    Options: `email_backend`, the dotted path of the class; `email_options`, its keyword arguments; `sender`;
    `variable`, where the first two were set.
    """

    name = "django_email"
    send_timeout = timedelta(seconds=20)  # as for a relay; a worker that stops waits no longer
    errors: ClassVar = ERRORS

    def __init__(
        self,
        *,
        email_backend: str = "",
        email_options: Mapping[str, Any] | None = None,
        sender: str = "",
        variable: str = "email_backend",
    ) -> None:
        self.email_backend = email_backend
        self.email_options = dict(email_options or {})
        self.sender = sender
        self._variable = variable

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> DjangoEmail:
        names = ("email_backend", "email_options", "sender", "variable")
        return cls(**{name: options[name] for name in names if name in options})

    @property
    def configured(self) -> bool:
        return bool(self.email_backend and self.sender)

    def problems(self) -> Sequence[SettingProblem]:
        if not (self.email_backend or self.email_options):
            return []  # EMAIL_SENDER alone may be another backend's
        if not self.email_backend:
            return [SettingProblem(self._variable, "is missing beside email_options")]
        found = []
        if not self.sender:
            found.append(SettingProblem("EMAIL_SENDER", "is missing beside email_backend"))
        elif not sender_address(self.sender):
            found.append(SettingProblem("EMAIL_SENDER", "must be one address, such as Shop <shop@example.com>"))
        try:
            self.connection()
        except ConfigurationError as error:
            found.append(SettingProblem(self._variable, error.detail))
        return found

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self)

    def connection(self) -> BaseEmailBackend:
        """One for each mail: they are for one thread, and one that was left behind in the middle of a send is lost.

        Raises: ConfigurationError.
        """
        words = ""
        try:
            found: BaseEmailBackend = import_string(self.email_backend)(
                **{**self.email_options, "fail_silently": False}
            )
        except ImproperlyConfigured as error:
            words = text.one_line(str(error), hide=self.secrets)
        except Exception as error:  # noqa: BLE001 - it is anybody's code, called with options of the settings'
            words = f"raises {type(error).__name__} when it is made with these email_options"
        else:
            return found
        raise ERRORS["email_backend"].error(words)

    @property
    def secrets(self) -> list[str]:
        """What no error may show."""
        return [value for value in self.email_options.values() if isinstance(value, str)]


class _Session:
    def __init__(self, backend: DjangoEmail) -> None:
        self._backend = backend

    def send(self, message: Message) -> Receipt:
        connection = self._backend.connection()
        sender = self._backend.sender
        if _is_anymail(connection):
            files = [_readable(file) for file in message.content.files]
            message = message._replace(content=message.content._replace(files=files))
        composed = mail.composed(message, sender=sender, address=required_sender(sender))
        sent, failure = None, None
        with deadline.within(self._backend.send_timeout):
            try:
                sent = deadline.in_time(lambda: _deliver(connection, composed), name="email backend")
            except Exception as error:  # noqa: BLE001 - of any library: what is not known is unknown
                failure = _failure(error, message, hide=[message.to, message.body, *self._backend.secrets])
        if failure is not None:
            raise failure
        if sent != 1:
            raise ERRORS["not_counted"].error(ERRORS["not_counted"].says)
        return Receipt(provider_id=_provider_id(composed) or composed.extra_headers["Message-ID"][1:-1])


def _readable(file: File) -> File:
    """For anymail, which reads every text as UTF-8 and raises at any other: that goes as octets."""
    if file.content_type.startswith("text/"):
        try:
            file.octets.decode()
        except UnicodeDecodeError:
            return file._replace(content_type="application/octet-stream")
    return file


def _deliver(connection: BaseEmailBackend, composed: mail.Mail) -> int | None:
    try:
        sent: int | None = connection.send_messages([composed])
        return sent
    finally:
        # Django's own leaves a connection open where it fails before the mail. Nothing that closing says changes
        # what became of the mail.
        with suppress(Exception):
            connection.close()


def _failure(error: Exception, message: Message, *, hide: Sequence[str]) -> ChannelError:
    if (refusal := smtp.refusal_of(error, message)) is not None:
        return refusal
    if _is_anymail(error) and (status := getattr(error, "status_code", None)) is not None:
        return _answered(status, error, hide)
    for kind in type(error).__mro__:
        if (row := ERRORS.get(kind.__name__)) is not None:
            return row.error(row.says)
    if _is_anymail(error) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # requests' own, which tells how far it came
    if isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected):
        return smtp.ERRORS["not_supported"].error(text.one_line(str(error), hide=hide))
    if isinstance(error, TimeoutError):
        return ERRORS["timeout"].error("no answer in time, and the mail may be out")
    if isinstance(error, requests.ConnectTimeout):  # which is not that one
        return ERRORS["connection"].error("no connection in time")
    if isinstance(error, OSError):
        unknown = not is_unconnected(error)
        return failure_of(error, "and the mail may be out" if unknown else "before a connection", unknown=unknown)
    return ERRORS["error"].error(f"the email backend raised {type(error).__name__}")


def _answered(status: int, error: Exception, hide: Sequence[str]) -> ChannelError:
    """What a provider's answer means that anymail took for no success."""
    response = getattr(error, "response", None)
    answer = Answer(status, getattr(response, "headers", {}), str(getattr(response, "text", "")))
    return answer.error(ERRORS, detail=text.one_line(answer.text, hide=hide))


def _is_anymail(thing: object) -> bool:
    """Whether it is of anymail's classes, or of a class made of them; anymail need not be installed."""
    return "anymail" in sys.modules and any(kind.__module__.startswith("anymail.") for kind in type(thing).__mro__)


def _provider_id(sent: mail.Mail) -> str:
    """The provider's own name for the mail, which anymail writes on it."""
    found = getattr(getattr(sent, "anymail_status", None), "message_id", None)
    return "" if found is None else str(found)
