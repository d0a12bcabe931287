"""What a notification has beyond its text, for operators' eyes: strangers' words, which must not run, call or load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.http import Http404, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString

from notifications import selectors
from notifications.models import Notification

# Before the HTML of a mail, in a frame that allows it nothing: no image of it is asked for, which would tell its sender
# that somebody looks.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def rendered(notification: Notification) -> SafeString | None:
    """None where there is nothing."""
    stored = notification.content
    if not stored:
        return None
    fields: dict[str, Any] = dict(stored["fields"])
    html = fields.pop("html", None)
    parts = [
        *([_frame(html)] if html else []),
        *([_files(notification, stored["files"])] if stored["files"] else []),
        *([_json(fields)] if fields else []),
    ]
    return format_html_join("", "{}", ((part,) for part in parts))


def download(notification: Notification, digest: str) -> HttpResponse:
    """One of its files, to be kept and not to be shown. Raises: Http404."""
    named = next((file for file in (notification.content or {}).get("files", ()) if file["digest"] == digest), None)
    octets = selectors.attachment(digest) if named else None
    if named is None or octets is None:
        raise Http404
    headers = {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=named["name"]),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }
    return HttpResponse(octets, content_type="application/octet-stream", headers=headers)


def _frame(html: str) -> SafeString:
    shown = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{html}'
    frame = '<iframe class="notifier-html" title="HTML" sandbox="" referrerpolicy="no-referrer" srcdoc="{}"></iframe>'
    return format_html(frame, shown)


def _files(notification: Notification, files: list[Mapping[str, Any]]) -> SafeString:
    rows = (
        (
            reverse("admin:notifications_notification_attachment", args=[notification.id, file["digest"]]),
            file["name"],
            file["content_type"],
            filesizeformat(file["size"]),
        )
        for file in files
    )
    return format_html("<ul>{}</ul>", format_html_join("", '<li><a href="{}" download>{}</a> ({}, {})</li>', rows))


def _json(fields: Mapping[str, Any]) -> SafeString:
    return format_html('<pre class="notifier-text">{}</pre>', json.dumps(fields, indent=2, ensure_ascii=False))
