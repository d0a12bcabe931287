"""What every email backend asks of a request, and of its sender, whichever vendor carries the mail."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import getaddresses
from functools import cache
from typing import Any, ClassVar

from channels import mail_content, text
from channels.contract import Backend, ConfigurationError, Content, Unacceptable
from channels.rules import Recipient, Rules, Subject

MESSAGE_LIMIT = 256 * 1024  # bytes of UTF-8
SUBJECT_LIMIT = 255  # characters


class EmailBackend(Backend):
    """One vendor's way to send a mail to one recipient."""

    carries: ClassVar = mail_content.NAMES

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


@cache
def sender_address(sender: str) -> str:
    """The bare address of `Name <address>` or `address`; "" where it is not exactly one."""
    addresses = getaddresses([sender])
    if len(addresses) != 1 or not sender.isprintable():
        return ""
    try:
        return text.normal_address("sender", addresses[0][1])
    except Unacceptable:
        return ""


def required_sender(sender: str) -> str:
    """The same. Raises: ConfigurationError where it is not exactly one."""
    address = sender_address(sender)
    if not address:
        raise ConfigurationError("sender", "EMAIL_SENDER is not one address")
    return address
