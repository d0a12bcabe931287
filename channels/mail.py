"""A message as a mail, the same to the last byte at every attempt: for every backend that sends email."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.header import Header
from email.message import Message as Part
from email.mime.base import MIMEBase
from email.utils import format_datetime
from urllib.parse import quote

from django.core.mail import EmailMultiAlternatives

from channels import text
from channels.contract import File, Message, PermanentError, Unacceptable

# 7-bit lines of at most 76 characters, because not every relay takes 8-bit text or lines of any length.
_QUOTED = Charset("utf-8")
_QUOTED.body_encoding = QP
_SECTION = 60  # characters of a file's name in one parameter: whole %xx escapes, on a line of usual length


class _OneLine(Header):
    """A header that is written as it is; one longer than a line would begin on the next, which not all can read."""

    def encode(self, *_: object, **__: object) -> str:
        return str(self)


class Mail(EmailMultiAlternatives):
    """Django's own, whose parts are told apart by the notification's id and not by chance."""

    def __init__(self, message: Message, *, sender: str, to: str, message_id: str) -> None:
        fields = message.content.fields
        self._given: Mapping[str, str] = dict(sorted(fields.get("headers", {}).items()))
        super().__init__(
            subject=message.subject,
            body=_one_newline(message.body),
            from_email=sender,
            to=[to],
            reply_to=fields.get("reply_to"),
            alternatives=[(_one_newline(fields["html"]), "text/html")] if "html" in fields else None,
            attachments=[_attached(file) for file in message.content.files],
            headers={
                **self._given,
                "Message-ID": f"<{message_id}>",
                "Date": format_datetime(message.created_at),
                "X-Correlation-ID": message.correlation_id,
                "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office replies, please
            },
        )
        self.encoding = _QUOTED
        self._name = message.notification_id.hex

    def message(self) -> Part:  # type: ignore[override]  # the stubs name Django's own two kinds, which it is
        mail: Part = super().message()
        for name, value in self._given.items():
            mail.replace_header(name, _OneLine(value))  # type: ignore[arg-type]  # it takes a Header as well
        for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
            # Nothing in a part can look like it: in quoted-printable no _ follows a =, and base64 has none inside.
            part.set_boundary(f"=_{self._name}_{number}")
        return mail


def composed(message: Message, *, sender: str, address: str) -> Mail:
    """`sender` is shown; the domain of its bare `address` is in the mail's own id. All is the same at every attempt, so
    that a mailbox can tell a duplicate.

    Raises: PermanentError where it cannot be written.
    """
    with _can_be_written():
        mail = _mail(message, sender, address)
        mail.message()
        return mail


def octets(message: Message, *, sender: str, address: str) -> tuple[str, bytes]:
    """The recipient, and the whole mail, its lines ended by CR LF. Raises: as `composed`."""
    with _can_be_written():
        mail = _mail(message, sender, address)
        written: bytes = mail.message().as_bytes(linesep="\r\n")  # type: ignore[call-arg]  # Django's own takes it
        return mail.to[0], written if written.endswith(b"\r\n") else written + b"\r\n"


def _mail(message: Message, sender: str, address: str) -> Mail:
    # What was validated may since have been written by SQL: a header must never end early.
    to = text.normal_address("to", message.to)
    return Mail(message, sender=sender, to=to, message_id=message_id(message, address))


@contextmanager
def _can_be_written() -> Iterator[None]:
    refusal: PermanentError | None = None
    try:
        yield
    except (Unacceptable, ValueError):
        refusal = PermanentError("invalid_message", "the recipient or a header cannot be written in an email")
    if refusal is not None:
        raise refusal


def message_id(message: Message, address: str) -> str:
    return f"{message.notification_id}@{address.rpartition('@')[2]}"


def _one_newline(words: str) -> str:
    return re.sub(r"\r\n?", "\n", words)


def _attached(file: File) -> MIMEBase:
    """As it is, byte for byte; Django would read and write a text anew."""
    part = MIMEBase(*file.content_type.split("/", 1))
    part.set_payload(file.octets)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", **dict(_file_name(file.name)))
    return part


def _file_name(name: str) -> Iterator[tuple[str, str]]:
    """Its parameters. Letters beyond ASCII are in sections, by RFC 2231: as one they could exceed a line."""
    if name.isascii():
        yield "filename", name
        return
    written = ""
    number = 0
    for letter in map(quote, name):
        if len(written) + len(letter) > _SECTION:
            yield f"filename*{number}*", written
            number, written = number + 1, ""
        written += letter if number or written else f"utf-8''{letter}"
    yield f"filename*{number}*", written
