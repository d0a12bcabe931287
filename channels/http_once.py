"""One HTTP request, sent once: no retry, no redirect, no proxy, nothing from the environment.

Requests are written here and answers read by the standard library, because the clients that do both take two to seven
times as long over it.
Every failure comes out as a kind of the contract, and shows no URL: a webhook's is a secret.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from json import dumps
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

import idna

from channels import deadline
from channels.contract import (
    ChannelError,
    ConfigurationError,
    PermanentError,
    RateLimited,
    Refused,
    TransientError,
)
from channels.failure import failure_of
from channels.idle import MAX_IDLE, Idle

# Longer than any documented answer; what comes after it is not read, so that no answer can fill the memory.
ANSWER_LIMIT = 64 * 1024

# A 429 that asks for no patience at all would be asked again in a loop; one that asks for a year is a bug.
LEAST_PATIENCE = timedelta(seconds=1)
MOST_PATIENCE = timedelta(days=1)

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PORTS = {"http": 80, "https": 443}
WRITTEN_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"  # of a path or a query; all else is written as %20 and the like


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said: `text` is cut at ANSWER_LIMIT, or where the connection broke."""

    status: int
    headers: Mapping[str, str] | http.client.HTTPMessage  # names in any case
    text: str

    def retry_after(self, otherwise: timedelta) -> timedelta:
        """The Retry-After header, which may be seconds or a date; `otherwise` where it is missing or odd."""
        raw = self.headers.get("Retry-After", "").strip()
        asked = otherwise
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", raw):
            asked = timedelta(seconds=float(raw))
        elif (until := _date(raw)) is not None:
            # Against the provider's own clock where it tells it: ours may be off.
            asked = until - (_date(self.headers.get("Date", "")) or datetime.now(UTC))
        return min(max(asked, LEAST_PATIENCE), MOST_PATIENCE)

    def error(self, code: str, words: str, *, refuses: Refused | None, patience: timedelta) -> ChannelError:
        """What an answer means that is not the yes which the provider documents.

        `refuses` is what a 4xx says no to, None for our credentials, account or address; `patience` is for a
        429 that names none. `words` are the provider's own, already fit for a log.
        """
        detail = f"answered {self.status}: {words}"
        if self.status == 429:
            return RateLimited(code, detail, retry_after=self.retry_after(patience))
        if self.status >= 500 or self.status < 300:
            # Also another 2xx than the documented one: it comes from something between us and the provider,
            # which may have passed the message on.
            return TransientError(code, detail, outcome_unknown=True)
        if self.status < 400:
            return ConfigurationError(code, "the provider's address redirects; redirects are not followed")
        if self.status == 408:
            return TransientError(code, "the provider gave up waiting for the request", outcome_unknown=False)
        if refuses is None:
            return ConfigurationError(code, detail)
        return PermanentError(code, detail, refuses=refuses)


class HttpOnce:
    """Sends to any provider, over connections that are kept alive between sends; shared by threads."""

    def __init__(self, *, limit: timedelta, max_idle: timedelta = MAX_IDLE) -> None:
        """`limit`: the total deadline of one send."""
        self._limit = limit
        self._idle: Idle[_Connection] = Idle(_Connection.close, max_idle)

    def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        form: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """Send `form`, or else `json`, once and within the limit.

        `auth`: user and password by HTTP Basic; without it, those that the URL has before its host.

        Raises: TransientError where no answer came, ConfigurationError where the address is none or its
        certificate does not verify, PermanentError where the request cannot be written.
        """
        with deadline.within(self._limit) as running:
            try:
                origin, target, user = _address(url)
                kind, body = (FORM, urlencode(form)) if form is not None else (JSON, dumps(json))
                headers = {"Accept": "*/*", "User-Agent": "notifier", "Content-Type": kind, **headers}
                if auth := auth or user:
                    headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
                return self._exchange(origin, _request(origin, target, headers, body.encode()))
            except (http.client.HTTPException, OSError, ValueError) as error:
                failure = _failure(error, written=running.written)
        raise failure

    def close(self) -> None:
        """Close what is kept alive; a send after it connects anew."""
        self._idle.close()

    def _exchange(self, origin: _Origin, request: bytes) -> Answer:
        connection = self._idle.take(origin) or _Connection(self._connected(origin))
        try:
            answer, may_be_kept = connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if may_be_kept:
            self._idle.give(origin, connection)
        else:
            connection.close()
        return answer

    def _connected(self, origin: _Origin) -> socket.socket:
        sock = deadline.connect(origin.host, origin.port)
        if origin.scheme == "http":
            return sock
        # The dot that may end a name is no part of what certificates vouch for.
        return self._tls.wrap_socket(sock, server_hostname=origin.host.rstrip("."))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return deadline.tls_context()


def wrong_address(url: str) -> str:
    """What is wrong with a provider's address, to end a sentence that does not show it; "" for nothing."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "is not an https URL"
    is_bare = "." not in host and ":" not in host  # such as the name of a service in a compose file
    if parts.scheme == "http" and not (is_bare or is_loopback(host)):
        return "must begin with https: a secret goes with every message"
    return ""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Connection:
    """One request after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def exchange(self, request: bytes) -> tuple[Answer, bool]:
        """The answer to a POST, and whether another may follow."""
        self.sock.sendall(request)  # head and body at once: the provider need not wake twice
        with http.client.HTTPResponse(self.sock, method="POST") as response:
            response.begin()
            text = _read(response).decode("utf-8", "replace")
            ended = response.isclosed() if response.length is None else response.length == 0
            return Answer(response.status, response.headers, text), ended and not response.will_close

    def close(self) -> None:
        self.sock.close()


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def _address(url: str) -> tuple[_Origin, str, tuple[str, str] | None]:
    """Where to connect, what to ask for there, and as whom. Raises: http.client.InvalidURL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode()
        host.encode("idna")  # as the resolver will
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        host = ""
    if not host or " " in host:
        raise http.client.InvalidURL
    target = quote(parts.path or "/", safe=WRITTEN_AS_IT_IS)
    if parts.query:
        target += "?" + quote(parts.query, safe=WRITTEN_AS_IT_IS)
    user = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return _Origin(parts.scheme, host, port), target, user


def _request(origin: _Origin, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Raises: ValueError where a header would end early, or is not Latin-1."""
    if any("\r" in value or "\n" in value for value in headers.values()):
        raise ValueError("a header of several lines")
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = (
        f"POST {target} HTTP/1.1",
        f"Host: {host}" if origin.port == PORTS[origin.scheme] else f"Host: {host}:{origin.port}",
        "Accept-Encoding: identity",  # an answer is as long as it says
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def _read(response: http.client.HTTPResponse) -> bytes:
    """At most ANSWER_LIMIT of it. A status says enough, even where the text after it breaks off."""
    octets = bytearray()
    with suppress(http.client.HTTPException, OSError):
        while len(octets) < ANSWER_LIMIT and (piece := response.read1(ANSWER_LIMIT - len(octets))):
            octets += piece
    return bytes(octets)


def _failure(error: Exception, *, written: bool) -> ChannelError:
    if isinstance(error, http.client.InvalidURL):
        return ConfigurationError("invalid_url", "the provider's address in the settings is not a valid URL")
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # a certificate's error is both
        return PermanentError("invalid_message", "the message cannot be written as a request")
    stage = "after the request was written" if written else "before anything was written"
    return failure_of(error, stage, unknown=written)


def _date(raw: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(raw)
    except (TypeError, ValueError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
