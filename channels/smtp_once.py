"""A connection to one mail relay that sends each mail once, and knows when a mail's fate is in doubt."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Sequence
from datetime import timedelta
from ssl import SSLContext
from typing import Any, cast

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.utils import DNS_NAME
from urllib3.util import wait_for_read

from channels import deadline

QUIT_PATIENCE = timedelta(seconds=2)  # the mail is sent: a slow farewell must not hold a thread


class Relay(EmailBackend):
    """Django's own backend over sockets that keep the deadline; used by one thread at a time.

    `security` is "tls" (from the first byte), "starttls" or "none". Both of the first end in an error
    where the relay does not offer them: smtplib then raises, and nothing falls back to plain text.
    """

    def __init__(self, *, host: str, port: int, username: str, password: str, security: str, tls: SSLContext) -> None:
        super().__init__(
            host=host,
            port=port,
            username=username,
            password=password,
            use_ssl=security == "tls",
            use_tls=security == "starttls",
            ssl_keyfile="",
            ssl_certfile="",
            fail_silently=False,
        )
        self._tls = tls
        self._partial_connection: smtplib.SMTP | None = None

    @property
    def connection_class(self) -> type[_Conversation]:
        return _TlsConversation if self.use_ssl else _Conversation

    @property
    def ssl_context(self) -> SSLContext:
        return self._tls

    @property
    def in_doubt(self) -> bool:
        """Whether the end of the last mail was written, and no reply settled what became of it."""
        return self._conversation is not None and self._conversation.in_doubt

    @property
    def reply(self) -> bytes:
        """The relay's words on the last mail it took."""
        return self._conversation.reply if self._conversation else b""

    @property
    def _conversation(self) -> _Conversation | None:
        return cast("_Conversation | None", self.connection)

    def send_messages(self, mails: Sequence[EmailMessage]) -> int:
        """Send, over the open connection where there is a good one.

        Raises: smtplib.SMTPException, OSError.
        """
        if self._conversation and self._conversation.is_over():
            self.discard()
        if self.connection is None:
            # Django names this machine in its greeting, and looks the name up once for the whole process.
            deadline.in_time(DNS_NAME.get_fqdn)
            self.open()
        if self._conversation:
            self._conversation.in_doubt = False
        return int(super().send_messages(mails) or 0)

    def discard(self) -> None:
        """Close at once, without a farewell: the conversation is out of step, or over."""
        for connection in (self.connection, self._partial_connection):
            if connection is not None:
                connection.close()
        self.connection = self._partial_connection = None

    def close(self) -> None:
        """Say goodbye where a conversation is going on."""
        with deadline.within(QUIT_PATIENCE):
            try:
                super().close()
            except (smtplib.SMTPException, OSError):
                self.discard()


class _Conversation(smtplib.SMTP):
    in_doubt = False
    reply = b""

    def is_over(self) -> bool:
        """Whether the relay has closed, or is about to: between two mails it has nothing else to say."""
        return self.sock is None or wait_for_read(self.sock, timeout=0)

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        return deadline.connect(host, port)

    def send(self, s: Any) -> None:
        super().send(s)
        # Only a mail's own text is sent as bytes; once this much is out, the relay may have the whole of it.
        if isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"):
            self.in_doubt = True

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, self.reply = super().data(msg)
        # A reply that is neither yes nor no (a broken line, a code of another kind) settles nothing.
        self.in_doubt = code != 250 and not 400 <= code <= 599
        return code, self.reply


class _TlsConversation(smtplib.SMTP_SSL, _Conversation):
    pass
