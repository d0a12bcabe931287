"""The page itself, the form that is posted to it, and the way of what was sent."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from notifications.api.health import readiness
from notifications.models import Notification
from notifications.services import NOTIFICATIONS_PATH
from notifications.welcome import standing, trial
from notifications.welcome.faces import Face, face_of, sandbox_link
from notifications.welcome.way import way

# Scripts and styles are files of ours; nothing inline runs, and nobody may frame it.
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest) -> HttpResponse:
    face = face_of(request)
    if request.method != "POST":
        return _page(request, face)
    if not _may_send(face):
        raise PermissionDenied
    return _send(request, face)


@never_cache
@require_safe
def one(request: HttpRequest, notification_id: uuid.UUID) -> HttpResponse:
    """The page once more, with the way of one; without a script it loads itself again until that is over."""
    face = face_of(request)
    found = way(_found(face, notification_id))
    return _page(request, face, {"way": found, "again": "again" in request.GET, "given": _given(found.row.channel)})


@never_cache
@require_safe
def its_way(request: HttpRequest, notification_id: uuid.UUID) -> JsonResponse:
    """What a script shows of one, and after how many milliseconds it asks again; null where it is over."""
    face = face_of(request)
    found = way(_found(face, notification_id))
    shown = render_to_string("notifications/welcome/way.html", {"way": found, **_sandbox(face)})
    return JsonResponse({"status": found.row.status, "again_in": found.again_in, "html": shown})


def _may_send(face: Face) -> bool:
    return face is not Face.PUBLIC and bool(trial.choices())


def _found(face: Face, notification_id: uuid.UUID) -> Notification:
    if face is Face.PUBLIC:
        raise Http404
    try:
        return trial.sent(notification_id)
    except Notification.DoesNotExist:
        raise Http404 from None


def _send(request: HttpRequest, face: Face) -> HttpResponse:
    by_script = not request.accepts("text/html")
    posted = {name: request.POST.get(name, "") for name in (*trial.FIELDS, "key")}
    identity = getattr(request, "correlation_id", "")
    try:
        accepted = trial.send(posted, correlation_id=identity, meta=request.META)
    except trial.Unsent as error:
        if by_script:
            return JsonResponse({"errors": error.errors}, status=error.status, headers=error.headers)
        # Nothing was made under its key, or it was used for something else: a fresh one serves both.
        again = {"errors": error.errors, "general": error.errors.get(""), "given": {**posted, "key": str(uuid.uuid4())}}
        page = _page(request, face, again, status=error.status)
        for name, value in error.headers.items():
            page.headers[name] = value
        return page
    notification_id = accepted.notification_id
    if by_script:
        address = reverse("first-run-way", args=[notification_id])
        return JsonResponse({"id": str(notification_id), "way": address, "replayed": accepted.replayed})
    query = "?again" if accepted.replayed else ""
    answer = HttpResponseRedirect(reverse("first-run", args=[notification_id]) + query)
    answer.status_code = HTTPStatus.SEE_OTHER  # a reload then asks for the page, and posts nothing
    return answer


def _page(request: HttpRequest, face: Face, more: Mapping[str, Any] | None = None, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"face": face.value, **(more or {})}
    if face is not Face.PUBLIC:
        found = readiness()
        choices = trial.choices()
        context = {
            "standing": found.status,
            "reasons": found.unready + found.degraded,
            "parts": standing.parts(found),
            "routes": list(standing.routes()),
            "choices": choices,
            "given": {
                "channel": choices[0].name if choices else "",
                "message": trial.MESSAGE,
                "key": str(uuid.uuid4()),
            },
            **_sandbox(face),
            **_terminal(request, face),
            **context,
        }
    response = render(request, "notifications/welcome.html", context, status=status)
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def _given(channel: str) -> dict[str, str]:
    """A form that nobody has filled in yet, with a key of its own."""
    return {"channel": channel, "message": trial.MESSAGE, "key": str(uuid.uuid4())}


def _sandbox(face: Face) -> dict[str, str]:
    return {"sandbox": settings.SANDBOX_URL, "sandbox_link": sandbox_link(face)}


def _terminal(request: HttpRequest, face: Face) -> dict[str, Any]:
    """A curl line that works when pasted, where the key of `make run` is; and where the admin's password is."""
    own = face is Face.OWN
    key_file = _kept(settings.API_KEY_FILE) if own else None
    key = f"$(cat {shlex.quote(str(key_file))})" if key_file else "$KEY"
    chosen = next((each for each in trial.choices() if standing.is_played(each.name)), None)
    body = {"channel": "slack", "to": "default", "message": trial.MESSAGE}
    if chosen:
        body = trial.body_of({"channel": chosen.name, "message": trial.MESSAGE})
    curl = (
        f"curl -sS -X POST {request.build_absolute_uri(NOTIFICATIONS_PATH)} \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f"  -H 'Content-Type: application/json' -H 'Idempotency-Key: {uuid.uuid4()}' \\\n"
        f"  -d {shlex.quote(json.dumps(body))}"
    )
    return {
        "curl": curl,
        "curl_works": key_file is not None,
        "curl_is_played": chosen is not None,
        "password_file": _kept(settings.ADMIN_PASSWORD_FILE) if own else None,
        "login": f"{reverse('admin:login')}?{urlencode({'next': reverse('admin:index')})}",
        "metrics": request.build_absolute_uri(reverse("metrics")),
    }


def _kept(path: Path) -> Path | None:
    """The file, where it is there; what is in it is for nobody's eyes here."""
    try:
        return path if path.exists() else None
    except OSError:  # of another user: then it was not made for this run
        return None
