"""What a failure below the provider's own protocol means: one rule for HTTP and SMTP."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from channels.contract import ChannelError
from channels.deadline import Forbidden
from channels.errors import Kind, Meaning, Table
from channels.text import one_line

# OpenSSL's word for an answer that is not TLS at all: the port or the security setting is the wrong one.
NOT_TLS = "WRONG_VERSION_NUMBER"

_TLS = "https://docs.python.org/3/library/ssl.html#exceptions"
_SOCKET = "https://docs.python.org/3/library/socket.html#exceptions"
# Of mail, and as true of any request: who has written it all, and hears nothing, cannot know.
_WRITTEN = "https://www.rfc-editor.org/rfc/rfc1047"

# `in doubt`: the message was written, in part or whole (channels/http_once.py, channels/smtp_once.py say when).
FAILURES = Table(
    Meaning("certificate", Kind.CONFIGURATION, "its certificate does not verify", _TLS),
    Meaning("tls", Kind.CONFIGURATION, "its port does not speak TLS", _TLS),
    Meaning(
        "forbidden_address",
        Kind.CONFIGURATION,
        "its address is none that may be connected to",
        "https://www.iana.org/assignments/iana-ipv4-special-registry",
    ),
    Meaning("dns", Kind.TRANSIENT, "its host was not found", _SOCKET),
    Meaning("timeout", Kind.TRANSIENT, "no answer in time, before the message", _SOCKET),
    Meaning("connection", Kind.TRANSIENT, "not connected, or cut off before the message", _SOCKET),
    Meaning("timeout in doubt", Kind.UNKNOWN, "no answer in time, after the message", _WRITTEN),
    Meaning("connection in doubt", Kind.UNKNOWN, "cut off after the message", _WRITTEN),
)


def failure_of(error: Exception, stage: str, *, unknown: bool) -> ChannelError:
    """The kind of a network error. `stage` ends the sentence that says how far the send had come.

    What only a change of the settings can mend is a ConfigurationError: a certificate that does not verify,
    a port that speaks no TLS. All else may be better in a minute.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FAILURES["certificate"].error(f"the provider's certificate: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and cause.reason == NOT_TLS:
            return FAILURES["tls"].error("the provider's port does not speak TLS")
        if isinstance(cause, Forbidden):
            return FAILURES["forbidden_address"].error("the host's address is none that may be connected to")
    for cause in causes:
        if isinstance(cause, TimeoutError):
            return _broken_off("timeout", f"no answer in time, {stage}", unknown=unknown)
        if isinstance(cause, socket.gaierror):
            return _broken_off("dns", f"the provider's host was not found, {stage}", unknown=unknown)
    return _broken_off("connection", f"{_words(causes)}, {stage}", unknown=unknown)


def _broken_off(code: str, detail: str, *, unknown: bool) -> ChannelError:
    row = FAILURES.first(f"{code} in doubt", "connection in doubt") if unknown else FAILURES[code]
    return row.error(detail, code=code)


def is_unconnected(error: BaseException) -> bool:
    """Whether a library's error says that no connection came about, so that nothing was sent.

    Only the error itself is asked, and what it says that it was raised for: what merely came before it (another host,
    tried first) tells nothing of this one.
    """
    if isinstance(error, requests.ConnectionError):
        reason = getattr(error.args[0], "reason", None) if error.args else None
        return isinstance(reason, (NewConnectionError, ConnectTimeoutError))
    return isinstance(error, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError))


def _words(causes: list[BaseException]) -> str:
    """The innermost error's own words, but only those that can hold no address."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return one_line(cause.strerror)
        if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, ConnectionError):
            return "the answer is not HTTP"
    return "the provider closed the connection"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
