"""One service of the library apprise, made ready to send one message once, and nothing else.

The library is loaded at the first use, because it brings all its services along (0.2 s, 30 MB).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import channels.http_once  # noqa: F401 - which masks what urllib3 logs of addresses

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

PLACE = "{to}"  # of the recipient in a URL
CONNECT, READ = 4.0, 12.0  # seconds, for each connection and each read, where the URL says nothing


class NotOne(Exception):
    """Raised when a URL is not one service that sends one message; its words end a sentence that shows no URL."""


def service_of(url: str) -> NotifyBase:
    """A new one, because none is made for two threads.

    Raises: NotOne.
    """
    services = _services(url)
    if not services:
        raise NotOne("is none that apprise knows and takes")
    if len(services) > 1:
        raise NotOne("makes several services: give each a name of its own")
    (service,) = services
    # A part of them may get a message and the others not, and what is sent again would reach the first twice.
    if len(service) > service.retry + 1:
        raise NotOne("has several recipients: give each a name of its own")
    if service.overflow_mode == "split":
        raise NotOne("has overflow=split: one message would be several")
    service.request_rate_per_sec = 0  # seconds that a service waits between two messages: the pacing is not its own
    asked = _query(url)
    if "cto" not in asked:
        service.socket_connect_timeout = CONNECT
    if "rto" not in asked:
        service.socket_read_timeout = READ
    return service


def service_for(url: str, to: str) -> NotifyBase:
    """The one that sends to this recipient. `url` has `{to}` in its place.

    Raises: NotOne.
    """
    service = service_of(url.replace(PLACE, quote(to, safe="")))
    if not _names(service, to):
        raise NotOne(f"takes no recipient at {PLACE}")
    return service


def _services(url: str) -> list[NotifyBase]:
    import apprise

    found = apprise.Apprise(asset=_asset())
    try:
        found.add(url)
    except Exception:  # noqa: BLE001 - any service's reading of a URL, whose words may hold it
        return []
    return list(found)


@cache
def _asset() -> AppriseAsset:
    """The library's settings: nothing is written, loaded from files, followed, or put beside a message."""
    import apprise

    return apprise.AppriseAsset(
        plugin_paths=None,
        storage_mode="memory",
        allow_templates=False,  # `${NAME}` in a URL would be read from the environment
        secure_logging=True,
        language="en",
        image_path_mask=False,
        image_url_mask="",
        image_url_logo="",
        app_id="Notifier",
        app_desc="Notifier",
        app_url="",
        http_redirects=False,
        interpret_emojis=False,
        interpret_escapes=False,
        default_service_retry=0,
        pgp_autogen=False,
        pem_autogen=False,
    )


def _names(service: NotifyBase, to: str) -> bool:
    """Whether the service has kept the recipient: many drop one that they cannot read, and send to the sender instead.

    They write numbers in forms of their own, so letters and digits alone are compared.
    """
    url = str(service.url(privacy=False))  # type: ignore[no-untyped-call]
    parts = re.split(r"[/?&=,;]", url)
    return _bare(to) in {_bare(unquote(part)) for each in parts for part in (each, each.rpartition("@")[2])}


def _bare(words: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", words).lower()


def _query(url: str) -> Mapping[str, Any]:
    try:
        return parse_qs(urlsplit(url).query)
    except ValueError:
        return {}


def _silent(record: logging.LogRecord) -> bool:
    """Nothing: the library logs URLs, which are secrets, recipients and messages. What it comes to is our own line."""
    return False


logging.getLogger("apprise").addFilter(_silent)
