"""What a failure below the provider's own protocol means: one rule for HTTP and SMTP."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from channels.contract import ChannelError, ConfigurationError, TransientError
from channels.deadline import Forbidden
from channels.text import one_line

# OpenSSL's word for an answer that is not TLS at all: the port or the security setting is the wrong one.
NOT_TLS = "WRONG_VERSION_NUMBER"


def failure_of(error: Exception, stage: str, *, unknown: bool) -> ChannelError:
    """The kind of a network error. `stage` ends the sentence that says how far the send had come.

    What only a change of the settings can mend is a ConfigurationError: a certificate that does not verify,
    a port that speaks no TLS. All else may be better in a minute.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigurationError("certificate", f"the provider's certificate: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and cause.reason == NOT_TLS:
            return ConfigurationError("tls", "the provider's port does not speak TLS")
        if isinstance(cause, Forbidden):
            return ConfigurationError("forbidden_address", "the host's address is none that may be connected to")
    for cause in causes:
        if isinstance(cause, TimeoutError):
            return TransientError("timeout", f"no answer in time, {stage}", outcome_unknown=unknown)
        if isinstance(cause, socket.gaierror):
            return TransientError("dns", f"the provider's host was not found, {stage}", outcome_unknown=unknown)
    return TransientError("connection", f"{_words(causes)}, {stage}", outcome_unknown=unknown)


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
