"""One HTTP request, sent once: no retry, no redirect, no proxy, nothing from the environment.

Every failure comes out as a kind of the contract, built outside the library's exception: those hold the
URL, and a webhook's URL is a secret.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from channels import deadline
from channels.contract import ChannelError, ConfigurationError, PermanentError
from channels.errors import Kind, Meaning, Table
from channels.failure import failure_of
from channels.http_errors import ANY_OTHER
from channels.idle import MAX_IDLE, Idle

# Longer than any documented answer; what comes after it is not read, so that no answer can fill the memory.
ANSWER_LIMIT = 64 * 1024

# A 429 that asks for no patience at all would be asked again in a loop; one that asks for a year is a bug.
LEAST_PATIENCE = timedelta(seconds=1)
MOST_PATIENCE = timedelta(days=1)


# What is true whatever the status is. Any other word is believed on a refusal alone: where the provider failed, or
# something between us and it answered, the message may have been passed on.
_TRUE_ANYWHERE = frozenset({Kind.RATE_LIMITED, Kind.UNKNOWN})
_STATUS = re.compile(r"[0-9][0-9x]{2}|any other")  # a row's code that is no provider's word, whatever an answer holds
_EMPTY_WORDS = frozenset({"3xx", "408"})  # of a page that goes with a redirect, and of nothing

# What the libraries raise between a request and its answer; all else is a mistake of ours.
FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said: `text` is cut at the answer's limit, or where the connection broke."""

    status: int
    headers: Mapping[str, str]  # names in any case
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

    def fields(self) -> Mapping[str, Any]:
        """Its text as a JSON object; empty where it is none."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):  # of brackets nested too deep
            return {}
        return found if isinstance(found, dict) else {}

    def error(self, table: Table, *words: str, detail: str, code: str = "") -> ChannelError:
        """What an answer means that is not the yes which the provider documents.

        `table` stands on HTTP. `words`: the provider's own codes in the answer, the one that says most first; where
        none has a row, the status decides. `detail` is what the answer says, already fit for a log. `code`: what to
        show for it, where that is neither the word that has a row nor the status.
        """
        by_word = self._by_word(table, words)
        row = by_word or table.first(str(self.status), f"{self.status // 100}xx", ANY_OTHER)
        shown = code or (by_word.code if by_word else str(self.status))
        said = row.says if row.code in _EMPTY_WORDS or not detail else detail
        asked = (
            self.retry_after(row.patience) if "Retry-After" in self.headers or row.kind is Kind.RATE_LIMITED else None
        )
        return row.error(f"answered {self.status}: {said}", code=shown, retry_after=asked)

    def _by_word(self, table: Table, words: Sequence[str]) -> Meaning | None:
        said = next((table.own[word] for word in words if word in table.own and not _STATUS.fullmatch(word)), None)
        return said if said and (400 <= self.status <= 499 or said.kind in _TRUE_ANYWHERE) else None


class HttpOnce:
    """Sends to any provider, over connections that are kept alive between sends; shared by threads.

    Without a session of requests': it would merge cookies, proxies and settings that are never there into every
    request, at a third of the cost of the whole.
    """

    def __init__(
        self,
        *,
        limit: timedelta,
        max_idle: timedelta = MAX_IDLE,
        permits: Callable[[str, str], bool] | None = None,
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        """`limit`: the total deadline of one send. `permits`: whether an address may be connected to by a scheme
        (`http` or `https`), both as text; None for any. `answer_limit`: bytes."""
        self._limit = limit
        self._answer_limit = answer_limit
        self._idle: Idle[_Adapter] = Idle(_Adapter.close, max_idle)
        self._pools = _pools(permits)

    def send(self, request: requests.Request) -> Answer:
        """Send once, within the limit.

        Raises: TransientError where no answer came, ConfigurationError where the address is none or its
        certificate does not verify, PermanentError where the request cannot be written.
        """
        with deadline.within(self._limit) as running:
            try:
                return self._exchange(request.prepare())
            except FAILURES as error:
                failure = _failure(error, written=running.written)
        raise failure

    def close(self) -> None:
        """Close what is kept alive; a send after it connects anew."""
        self._idle.close()

    def _exchange(self, prepared: requests.PreparedRequest) -> Answer:
        prepared.headers.setdefault("User-Agent", "notifier")
        prepared.headers.setdefault("Accept", "*/*")
        prepared.headers["Accept-Encoding"] = "identity"  # without compression an answer is as long as it says
        origin = urlsplit(prepared.url)[:2]
        adapter = self._idle.take(origin) or _Adapter(self._tls, self._pools)
        try:
            with adapter.send(prepared, stream=True) as response:
                octets = b""
                # A status says enough, even where the text after it breaks off.
                with suppress(urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
                    octets = _read(response.raw, self._answer_limit)
        except BaseException:
            adapter.close()
            raise
        self._idle.give(origin, adapter)
        return Answer(response.status_code, response.headers, octets.decode("utf-8", "replace"))

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


def _pools(permits: Callable[[str, str], bool] | None) -> Mapping[str, type[HTTPConnectionPool]]:
    """urllib3's own, by scheme, whose connections keep the deadline and go where they may."""
    plain, secured = (partial(permits, scheme) if permits else None for scheme in ("http", "https"))

    class HttpConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return deadline.connect(self._dns_host, self.port, plain)

    class HttpsConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return deadline.connect(self._dns_host, self.port, secured)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = HttpConnection

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = HttpsConnection

    return {"http": HttpPool, "https": HttpsPool}


class _Adapter(HTTPAdapter):
    """Requests' own adapter, over sockets that keep the deadline; with one connection, for one thread at a time."""

    def __init__(self, tls: ssl.SSLContext, pools: Mapping[str, type[HTTPConnectionPool]]) -> None:
        self._tls = tls
        self._pools = pools
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def is_over(self) -> bool:
        return False  # urllib3 looks itself, and replaces a connection that the other end has closed

    def cert_verify(self, conn: Any, *_: Any) -> None:
        # The context is complete; requests would load its bundle into it anew at every connection.
        conn.cert_reqs = "CERT_REQUIRED"


def _read(raw: Any, limit: int) -> bytes:
    octets = bytearray()
    while len(octets) < limit and (piece := raw.read1(limit - len(octets))):
        octets += piece
    return bytes(octets)


def _failure(error: Exception, *, written: bool) -> ChannelError:
    if isinstance(error, (InvalidURL, InvalidSchema, MissingSchema)):
        return ConfigurationError("invalid_url", "the provider's address in the settings is not a valid URL")
    if isinstance(error, (InvalidHeader, UnicodeError)):
        return PermanentError("invalid_message", "the message cannot be written as a request")
    stage = "after the request was written" if written else "before anything was written"
    return failure_of(error, stage, unknown=written)


def _date(raw: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(raw)
    except (TypeError, ValueError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _mask_address(record: logging.LogRecord) -> bool:
    """Replace what urllib3 logs of an address: the path of a webhook is its password."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            "<masked>" if isinstance(arg, str) and (arg.startswith("/") or "://" in arg) else arg for arg in record.args
        )
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_mask_address)
