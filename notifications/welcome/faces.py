"""Who may see what of the first page: most does whoever has the machine, and strangers see next to nothing."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest

ADD: Final = "notifications.add_notification"
# A proxy that says for whom it asks: then the caller is not on this machine, though the connection comes from it.
_FORWARDED: Final = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")

log = structlog.get_logger(__name__)


class Face(Enum):
    """Which of its faces the page shows."""

    PUBLIC = "public"  # to strangers: a name and the documentation
    STAFF = "staff"  # to staff who may add notifications: the state, and the form
    OWN = "own"  # on one's own machine: where the secrets are kept, too


def face_of(request: HttpRequest) -> Face:
    if _is_own(request):
        return Face.OWN
    try:
        # `is_active` is asked by the permission, `is_staff` is not.
        if request.user.is_staff and request.user.has_perm(ADD):
            return Face.STAFF
    except DatabaseError as error:  # it knows who they are, and does not answer: nobody is shown more than a stranger
        log.warning("first_page.visitor_unknown", error=type(error).__name__)
    return Face.PUBLIC


def _is_own(request: HttpRequest) -> bool:
    """Whether a developer, or whoever runs `make run`, asks from the machine itself.

    A Host is whatever a caller says, so the connection must be from here as well; but not with DEBUG, which may be in
    a container and shows its inside to everybody anyway. A service with a public address may have a proxy beside it
    that asks in this machine's name.
    """
    if not (settings.EMBEDDED or settings.DEBUG) or any(name in request.META for name in _FORWARDED):
        return False
    if settings.PUBLIC_URL and not is_loopback(settings.PUBLIC_URL):
        return False
    if not is_loopback(f"//{request.get_host()}"):
        return False
    return settings.DEBUG or _is_loopback_host(request.META.get("REMOTE_ADDR", ""))


def sandbox_link(face: Face) -> str:
    """Where the visitor's browser finds the sandbox; "" where nobody here can say.

    Its address is the workers': a loopback one is of their machine, and a name without a dot one among containers,
    whose port is published on the machine itself.
    """
    address: str = settings.SANDBOX_URL
    among_containers = "." not in (urlsplit(address).hostname or "") and not is_loopback(address)
    if face is Face.OWN:
        return f"http://127.0.0.1:{settings.SANDBOX_PORT}" if address and among_containers else address
    return "" if among_containers or is_loopback(address) else address


def is_loopback(url: str) -> bool:
    """Whether an address is of the machine of whoever goes there."""
    return _is_loopback_host(urlsplit(url).hostname or "")


def _is_loopback_host(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
