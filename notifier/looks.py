"""How the admin looks: the theme's name, colours and sidebar. Its scripts and fonts are served from here."""

from __future__ import annotations

from typing import Any, Final

from django.templatetags.static import static
from django.urls import reverse_lazy


def _link(title: str, icon: str, page: str, permission: str = "") -> dict[str, Any]:
    link: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{page}")}
    if permission:
        link["permission"] = lambda request: request.user.has_perm(permission)
    return link


def _is_operations(request: Any) -> bool:
    """Attempts have their address beneath that of the operations, as they have no list of their own in the admin."""
    return "/operation/" in request.path and "/attempts/" not in request.path


def _list(title: str, icon: str, model: str) -> dict[str, Any]:
    return _link(title, icon, f"notifications_{model}_changelist", f"notifications.view_{model}")


UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "Notifier",
    "SITE_HEADER": "Notifier",
    "SITE_SUBHEADER": "transactional outbox",
    "SITE_SYMBOL": "outbox",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("notifications/favicon.svg")}],
    "SITE_URL": "/",
    "STYLES": [lambda _: static("notifications/admin.css")],
    "DASHBOARD_CALLBACK": "notifications.admin.dashboard.context",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "items": [
                    _link("Dashboard", "monitoring", "index"),
                    _list("Notifications", "mail", "notification"),
                    _link("Attempts", "history", "notifications_attempt_newest", "notifications.view_attempt"),
                    {**_list("Operations", "rule", "operation"), "active": _is_operations},
                ]
            },
            {
                "title": "Sending",
                "separator": True,
                "items": [
                    _list("Channels and lanes", "alt_route", "lanestate"),
                    _list("Workers", "memory", "worker"),
                    _list("Suppressions", "block", "suppression"),
                    _list("Templates", "article", "template"),
                ],
            },
            {
                "title": "Who asks",
                "separator": True,
                "items": [
                    _list("Clients", "apartment", "client"),
                    _list("API keys", "key", "apikey"),
                    _list("Webhooks", "webhook", "webhookendpoint"),
                ],
            },
            {
                "title": "Who may look",
                "separator": True,
                "items": [
                    _link("Users", "person", "auth_user_changelist", "auth.view_user"),
                    _link("Groups", "group", "auth_group_changelist", "auth.view_group"),
                ],
            },
        ],
    },
}
