"""The Idempotency-Key header of a request; what makes a key valid is `notifications.idempotency`'s."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request

from notifications.api.problems import Problem
from notifications.idempotency import InvalidKey, parse_key

KEY_HEADER = "HTTP_IDEMPOTENCY_KEY"  # in META, where it is found without reading all headers


def idempotency_key(request: Request, *, required: bool | None = None) -> str | None:
    """The key, unquoted; None where it is missing and not required (by default as the settings say).

    Raises: Problem `idempotency_key_missing` or `idempotency_key_invalid`.
    """
    header = request.META.get(KEY_HEADER)
    if header is None:
        if settings.IDEMPOTENCY_KEY_REQUIRED if required is None else required:
            raise Problem(
                "idempotency_key_missing",
                "Send an Idempotency-Key header, the same at every retry of one notification; see /api/docs.",
            )
        return None
    try:
        return parse_key(header)
    except InvalidKey as error:
        raise Problem("idempotency_key_invalid", str(error)) from None
