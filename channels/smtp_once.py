"""A connection to one mail relay that sends each mail once, and knows when a mail's fate is in doubt."""

from __future__ import annotations

import re
import smtplib
import socket
from smtplib import quoteaddr
from ssl import SSLContext
from typing import Any, cast

from django.core.mail.backends.smtp import EmailBackend
from django.core.mail.utils import DNS_NAME

from channels import deadline
from channels.idle import is_over

YES = ({250}, {250, 251}, {354})  # to MAIL, RCPT and DATA
DOT = re.compile(rb"^\.", re.MULTILINE)  # of a line that would end the mail early: RFC 5321, section 4.5.2


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
    def sock(self) -> socket.socket | None:
        return self._conversation.sock if self._conversation else None

    @property
    def _conversation(self) -> _Conversation | None:
        return cast("_Conversation | None", self.connection)

    def send(self, *, sender: str, to: str, mail: bytes) -> bytes:
        """Send one mail, lines ended by CR LF, over the open connection where there is one; the relay's words on it.

        Raises: smtplib.SMTPException, OSError.
        """
        if self.connection is None:
            # Django names this machine in its greeting, and looks the name up once for the whole process.
            deadline.in_time(DNS_NAME.get_fqdn)
            self.open()
        return cast("_Conversation", self.connection).deliver(sender=sender, to=to, mail=mail)

    def is_over(self) -> bool:
        return is_over(self.sock)

    def close(self) -> None:
        """At once, without a farewell: the conversation is out of step, or over."""
        for connection in (self.connection, self._partial_connection):
            if connection is not None:
                connection.close()
        self.connection = self._partial_connection = None

    def part(self) -> None:
        """Say goodbye, and close."""
        try:
            if self._conversation:
                self._conversation.quit()
        finally:
            self.close()


class _Conversation(smtplib.SMTP):
    in_doubt = False

    def deliver(self, *, sender: str, to: str, mail: bytes) -> bytes:
        """One mail; the relay's words on it.

        Its three commands leave together where the relay says that it can take that (RFC 2920): that spares two
        of four times to it and back. Raises: as `sendmail`.
        """
        self.in_doubt = False
        self.ehlo_or_helo_if_needed()
        size = f" SIZE={len(mail)}" if self.has_extn("size") else ""
        commands = (f"MAIL FROM:{quoteaddr(sender)}{size}", f"RCPT TO:{quoteaddr(to)}", "DATA")
        together = self.has_extn("pipelining")
        if together:
            self.send("\r\n".join((*commands, "")))
        for number, (command, good) in enumerate(zip(commands, YES, strict=True)):
            if not together:
                self.putcmd(command)
            code, words = self.getreply()
            if code not in good:
                self._start_anew(unread=len(commands) - number - 1 if together else 0, code=code)
                raise (
                    smtplib.SMTPSenderRefused(code, words, sender),
                    smtplib.SMTPRecipientsRefused({to: (code, words)}),
                    smtplib.SMTPDataError(code, words),
                )[number]
        self.send(DOT.sub(b"..", mail) + b".\r\n")
        code, words = self.getreply()
        # A reply that is neither yes nor no (a broken line, a code of another kind) settles nothing.
        self.in_doubt = code != 250 and not 400 <= code <= 599
        if code != 250:
            raise smtplib.SMTPDataError(code, words)
        return words

    def _start_anew(self, *, unread: int, code: int) -> None:
        """After a no, which stands whatever comes now: be ready for the next mail, or close."""
        try:
            waits_for_mail = any(self.getreply()[0] == 354 for _ in range(unread))
            if waits_for_mail or code == 421:
                self.close()
            else:
                self.rset()
        except OSError:
            self.close()

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        return deadline.connect(host, port)

    def send(self, s: Any) -> None:
        super().send(s)
        # Only a mail's own text is sent as bytes; once this much is out, the relay may have the whole of it.
        if isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"):
            self.in_doubt = True


class _TlsConversation(smtplib.SMTP_SSL, _Conversation):
    pass
