"""429 for a client that asks too fast, and three headers for one that wants to know before.

Headers: draft-ietf-httpapi-ratelimit-headers-07, section 3, whose names most clients know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from notifications.api.problems import Problem
from notifications.models import Client
from notifications.selectors import Key
from notifications.throttle import Allowance, Throttle

if TYPE_CHECKING:
    from rest_framework.views import APIView  # imports this module by way of the settings

_OF_REQUEST: Final = "notifier.allowance"  # in META: what the answer is to say

throttle = Throttle()


class ClientThrottle(BaseThrottle):
    """Counts each request as one; whoever posts more at once is charged for the rest when it has been read."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        charge(request, 1)
        return True


def charge(request: Request, cost: int) -> None:
    """Use up so much of the client's minute. Raises: Problem `throttled`."""
    if isinstance(request.auth, Key):
        charge_client(request.auth.client, cost, request.META)


def charge_client(client: Client, cost: int, meta: dict[str, Any]) -> None:
    """The same where there is no key; `meta`: of the request, where what is left is kept for the answer."""
    limit = settings.RATE_LIMIT if client.rate_limit is None else client.rate_limit
    if not limit or cost < 1:
        return
    allowance = meta[_OF_REQUEST] = throttle.take(client.pk, limit=limit, cost=cost)
    if not allowance.granted:
        detail = f"{limit} notifications a minute are allowed; {allowance.remaining} are left of this one."
        raise Problem("throttled", detail, headers={"Retry-After": str(allowance.reset)})


def tell(request: Request, response: Response) -> None:
    """Add the headers, where the client has a limit."""
    allowance: Allowance | None = request.META.get(_OF_REQUEST)
    if allowance is not None:
        for name, value in _headers(allowance).items():
            response.headers[name] = value


def _headers(allowance: Allowance) -> Mapping[str, Any]:
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
    }
