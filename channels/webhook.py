"""A client's own receiver, by the scheme of Standard Webhooks: https://www.standardwebhooks.com

The recipient is an endpoint's id; where it is and how it is signed is looked up at each send. The body goes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

import requests
from django.utils.module_loading import import_string
from standardwebhooks import Webhook

from channels.contract import (
    Backend,
    Message,
    PermanentError,
    Receipt,
    SettingProblem,
    TransientError,
    Unacceptable,
)
from channels.errors import Kind, Meaning, Table
from channels.failure import FAILURES
from channels.http_errors import ANY_OTHER, HTTP
from channels.http_once import HttpOnce
from channels.reach import Network, Reach

PATIENCE = timedelta(seconds=30)  # after a 429 without Retry-After
_SCHEME = (
    "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"
    "#deliverability-and-reliability"
)

# What a status says, where it is not a yes (2xx). The scheme has a receiver asked again after anything but 2xx and 410.
ERRORS = Table(
    Meaning("410", Kind.PERMANENT, "gone: the endpoint is switched off", _SCHEME),
    # Nothing else would be taken either until somebody mends the address or the secret; 401, 403, 404 and 407 likewise.
    Meaning("405", Kind.CONFIGURATION, "no receiver of webhooks is at this address", _SCHEME),
    Meaning("429", Kind.RATE_LIMITED, "too many requests", _SCHEME, patience=PATIENCE),
    # From what stands before a receiver that is down or overloaded.
    *(Meaning(code, Kind.TRANSIENT, "the receiver is down", _SCHEME, rests=True) for code in ("502", "503", "504")),
    *(
        Meaning(code, Kind.TRANSIENT, "the receiver does not take it now", _SCHEME)
        for code in ("4xx", "5xx", ANY_OTHER)
    ),
    # A receiver that cannot be reached has trouble of its own, whatever the message.
    *(replace(row, rests=True) for row in FAILURES.values() if row.kind in {Kind.TRANSIENT, Kind.UNKNOWN}),
    beneath=HTTP,
)

URL_LIMIT = 2000  # characters
_URL = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send, and with which secrets to sign; more than one while they change."""

    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)  # whsec_…
    is_active: bool


class Endpoints(Protocol):
    """Who knows the endpoints. Threads share it."""

    def find(self, endpoint_id: str) -> Endpoint | None:
        """None where it is gone. Raises: EndpointsUnavailable."""
        ...

    def switch_off(self, endpoint_id: str, reason: str) -> None:
        """It does not want to be asked any more. Raises: EndpointsUnavailable."""
        ...


class EndpointsUnavailable(Exception):
    """Raised when it cannot be said for now where an endpoint is."""


class StandardWebhook(Backend):
    """Options: `endpoints`, the dotted name of an Endpoints; `allowed_networks`, CIDRs that are not public and may be
    connected to all the same, over plain http, too."""

    name = "standard_webhook"
    send_timeout = timedelta(seconds=15)  # the scheme's lower end: receivers should answer first and work then
    internal = True
    errors: ClassVar = ERRORS

    def __init__(self, endpoints: str, allowed_networks: Sequence[str]) -> None:
        self._name_of_endpoints = endpoints
        self._allowed = allowed_networks
        self._http = HttpOnce(limit=self.send_timeout, permits=Reach(_networks(allowed_networks)).permits)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> StandardWebhook:
        return cls(options["endpoints"], list(options.get("allowed_networks", [])))

    @property
    def configured(self) -> bool:
        return True

    def problems(self) -> Sequence[SettingProblem]:
        return [
            SettingProblem("WEBHOOK_ALLOWED_NETWORKS", f"{each!r} is no network such as 10.1.0.0/16")
            for each in self._allowed
            if not _networks([each])
        ]

    def validate(self, *, to: str, subject: str, body: str) -> str:
        raise Unacceptable("to", "internal", "webhooks are told by the service itself, and by nobody else")

    def wrong_url(self, url: str) -> str:
        """What is wrong with an endpoint's address, to end a sentence that does not show it; "" for nothing.

        No name is looked up: that is done at each send, and what was found is judged then.
        """
        return wrong_url(url, _networks(self._allowed))

    def destination(self, to: str) -> str:
        return to

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self._http, self._endpoints)

    def close(self) -> None:
        self._http.close()

    @cached_property
    def _endpoints(self) -> Endpoints:
        # Not before it is needed: what knows them imports the channels itself.
        found: Endpoints = import_string(self._name_of_endpoints)
        return found


class _Session:
    def __init__(self, http: HttpOnce, endpoints: Endpoints) -> None:
        self._http = http
        self._endpoints = endpoints

    def send(self, message: Message) -> Receipt:
        endpoint = self._find(message.to)
        request = requests.Request(
            "POST", endpoint.url, data=message.body.encode(), headers=_headers(message, endpoint)
        )
        try:
            answer = self._http.send(request)
        except TransientError as error:
            error.rests = True  # not the message's fault
            raise
        if 200 <= answer.status < 300:
            return Receipt(code=str(answer.status))
        if answer.status == HTTPStatus.GONE:
            self._switch_off(message.to)
        # The receiver's own words are left out: whoever had made us ask somebody else would read that one's answer.
        raise answer.error(ERRORS, detail="")

    def _find(self, endpoint_id: str) -> Endpoint:
        endpoint, failure = None, None
        try:
            endpoint = self._endpoints.find(endpoint_id)
        except EndpointsUnavailable:
            failure = TransientError("endpoint_unavailable", "its address was not looked up", outcome_unknown=False)
        if failure is not None:
            raise failure
        if endpoint is None:
            raise PermanentError("endpoint_deleted", "the endpoint was deleted")
        if not endpoint.is_active:
            raise PermanentError("endpoint_inactive", "the endpoint is switched off")
        return endpoint

    def _switch_off(self, endpoint_id: str) -> None:
        try:
            self._endpoints.switch_off(endpoint_id, "it answered 410 Gone")
        except EndpointsUnavailable:
            return  # the next that it is told switches it off


def _headers(message: Message, endpoint: Endpoint) -> dict[str, str]:
    """What the scheme asks for. The id is the same at every attempt; the time is the attempt's own."""
    now = datetime.now(UTC)
    id_ = str(message.notification_id)
    return {
        "Content-Type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(id_, now, message.body) for secret in endpoint.secrets),
        **message.tracking_headers(),
    }


def wrong_url(url: str, allowed: Sequence[Network]) -> str:
    """As `StandardWebhook.wrong_url`."""
    if len(url) > URL_LIMIT:
        return f"must be at most {URL_LIMIT} characters"
    if not _URL.fullmatch(url) or "\\" in url:
        return "must be printable ASCII without spaces or backslashes; write other letters as %xx, a host in punycode"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ({"https", "http"} if allowed else {"https"}) or not host:
        return "must begin with https://, and name a host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or a password"
    if parts.fragment:
        return "must not have a fragment (#)"
    if port is not None and port not in {80, 443} and port < 1024:
        return "must have the port 443, 80, or one from 1024 on"
    return _wrong_host(host, parts.scheme, allowed)


def _wrong_host(host: str, scheme: str, allowed: Sequence[Network]) -> str:
    try:
        address = str(ip_address(host))
    except ValueError:
        bare = "." not in host.rstrip(".")
        local = host.rstrip(".").endswith((".localhost", ".local", ".internal"))
        return "must name a host of the internet" if (bare or local) and not allowed else ""
    return "" if Reach(allowed).permits(scheme, address) else "must name a host of the internet"


def _networks(given: Sequence[str]) -> list[Network]:
    found: list[Network] = []
    for each in given:
        try:
            found.append(ip_network(each))
        except ValueError:
            continue  # told of by `problems`
    return found
