"""Where providers report delivery: each message carries its own address here, and its provider's signature."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, authentication_classes, parser_classes, permission_classes
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from channels.contract import Forged
from channels.registry import by_head
from notifications import services, traced
from notifications.api.problems import Problem


@extend_schema(exclude=True)  # a provider's address, not a client's
@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
@parser_classes([FormParser])
def receipt(request: Request, head: str, notification_id: UUID, attempt: int) -> Response:
    """Take one report; 204 whether or not it changed anything, so that the provider does not repeat it.

    `head`: whose it is, `sms` or `sms@apprise`.
    """
    known = by_head().get(head)
    if known is None:
        raise Http404
    try:
        # The address as the provider was told it: behind a proxy the request's own would differ, and so its signature.
        report = known.backend.read_report(
            url=f"{settings.PUBLIC_URL}{request.get_full_path()}", fields=request.POST.dict(), headers=request.headers
        )
    except Forged:
        raise Problem("forged_receipt", "The signature is not the provider's.") from None
    with traced.reported(notification_id, report):
        services.receive_report(known, notification_id, attempt, report)
    return Response(status=204)
