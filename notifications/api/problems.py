"""Every error of the API as application/problem+json (RFC 9457), with a `code` that programs can rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions

from notifications import services
from notifications.api.kinds import KINDS
from notifications.services import Problem as FieldProblem

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER = 2  # seconds; a database that restarts or fails over is back in about that

log = structlog.get_logger(__name__)


class Problem(Exception):
    """Raised when a request is refused; `code` is a row of KINDS, `headers` go with the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}


def answer(problem: Problem, request: HttpRequest) -> HttpResponse:
    """The response that tells of a problem; never a secret, a stack trace or what another request said."""
    kind = KINDS[problem.code]
    body: dict[str, Any] = {
        "type": f"{reverse('problems')}#{problem.code}",
        "title": kind.title,
        "status": int(kind.status),
        "detail": problem.detail,
        "code": problem.code,
        "correlation_id": getattr(request, "correlation_id", ""),
    }
    if problem.errors:
        body["errors"] = [asdict(error) for error in problem.errors]
    return HttpResponse(
        json.dumps(body, ensure_ascii=False),
        status=kind.status,
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """What DRF calls for anything a view raises. What nobody foresaw is logged whole and told as a 500."""
    return answer(_problem(error), context["request"])


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case services.Refused():
            return refused(error.problems)
        case services.NoSandbox():
            return Problem("sandbox_not_configured", f"{error}.")
        case services.KeyReused():
            return Problem(
                "idempotency_key_reused",
                "This Idempotency-Key was used before, for a request with another body.",
            )
        case services.KeyInUse():
            return Problem(
                "idempotency_key_in_use",
                "Another request with this Idempotency-Key has not ended yet.",
                headers={"Retry-After": "1"},
            )
        case services.WrongState():
            return _wrong_state(error)
        case services.WebhookConflict():
            return Problem("webhook_conflict", str(error))
        case services.Unavailable() | OperationalError() | InterfaceError():
            return _unavailable(error)
        case Http404():
            return Problem("not_found", "Nothing is found at this address.")
        case PermissionDenied():
            return Problem("forbidden", "This is not allowed.")
        case exceptions.APIException():
            return _of_framework(error)
        case _:
            return _panic(error)


def _panic(error: Exception) -> Problem:
    log.error("panic", exc_info=error)
    return Problem("internal_error", "Something failed that should not have; it has been logged.")


def _wrong_state(error: services.WrongState) -> Problem:
    if error.redacted:
        return Problem("redacted", "Its recipient and content were removed, so nothing is left to send.")
    if error.suppressed:
        return Problem("suppressed", "Its recipient is on the suppression list: nothing is sent there.")
    why = "its life would be over (expires_at)" if error.expired else f"it is {error.status.value}"
    return Problem("wrong_state", f"This cannot be done to the notification: {why}.")


def _unavailable(error: Exception) -> Problem:
    log.error("unavailable", error=str(error), kind=type(error).__name__)
    return Problem(
        "unavailable",
        "The database does not answer. Repeat the request, with the same Idempotency-Key if it has one.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


def refused(errors: Sequence[FieldProblem]) -> Problem:
    """A 400 that names every field to mend; a 409 where all that is wrong is that nothing is sent to a recipient."""
    code = "suppressed" if all(error.code == "suppressed" for error in errors) else "invalid"
    return Problem(code, "; ".join(f"{error.field}: {error.detail}" for error in errors[:3]), errors=errors)


def _of_framework(error: exceptions.APIException) -> Problem:
    match error:
        case exceptions.ValidationError():
            return refused(list(_fields(error.get_full_details())))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            headers = {"WWW-Authenticate": getattr(error, "auth_header", "Bearer")}
            return Problem("unauthenticated", "Send a valid API key: Authorization: Bearer <api key>.", headers=headers)
        case exceptions.Throttled():
            wait = max(1, round(getattr(error, "wait", None) or 1))
            return Problem("throttled", f"Try again in {wait} s.", headers={"Retry-After": str(wait)})
        case exceptions.ParseError():
            return Problem("malformed_json", str(error.detail))
        case exceptions.UnsupportedMediaType():
            return Problem("unsupported_media_type", str(error.detail), headers={"Accept": "application/json"})
        case exceptions.NotFound():
            return Problem("not_found", "Nothing is found at this address.")
        case exceptions.PermissionDenied():
            return Problem("forbidden", str(error.detail))
        case exceptions.MethodNotAllowed():
            return Problem("method_not_allowed", str(error.detail))
        case exceptions.NotAcceptable():
            return Problem("not_acceptable", "The Accept header allows no JSON; only application/json is answered.")
        case _:
            return _panic(error)


def _fields(details: Any, path: str = "") -> Iterator[FieldProblem]:
    """Flatten DRF's nested details: names of fields, places in lists, and at the leaves {message, code}."""
    if isinstance(details, list):
        for detail in details:
            yield from _fields(detail, path)
    elif isinstance(details, dict) and set(details) == {"message", "code"} and isinstance(details["code"], str):
        yield FieldProblem(path or "body", details["code"], str(details["message"]))
    elif isinstance(details, dict):
        for name, detail in details.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _fields(detail, f"{path}.{own}" if path and own else path or own)


@csrf_exempt  # whatever the method, the answer is the same
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Every other address under /api/, so that DEBUG does not answer its page of routes there."""
    return answer(Problem("not_found", "Nothing is found at this address."), request)


# --- Django's own handlers (urls.py): problems under /api/, Django's pages elsewhere ----------------------


def _of_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _of_api(request):
        return answer(Problem("bad_request", "The request is malformed or names a host that is not ours."), request)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _of_api(request):
        return answer(Problem("forbidden", "This is not allowed."), request)
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _of_api(request):
        return answer(Problem("not_found", "Nothing is found at this address."), request)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if _of_api(request):
        return answer(Problem("internal_error", "Something failed that should not have; it has been logged."), request)
    return defaults.server_error(request)
