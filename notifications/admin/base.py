"""What the pages share: rows that nobody edits by hand, labels in words and colour."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_permission_codename
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from notifications import services
from notifications.models import Operation

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ModelAdmin
else:
    from unfold.admin import ModelAdmin as Themed

    class ModelAdmin(Themed):
        """Takes a type parameter, as Django's own does for type checkers alone."""

        def __class_getitem__(cls, _: object) -> type:
            return cls


Row = TypeVar("Row", bound=models.Model)


class Watched(ModelAdmin[Row]):
    """Rows that are shown and never edited, added or deleted by hand.

    Nothing of them can be changed but by acting on them, so the permission to change is the permission to act.
    """

    class Media:
        css = {"all": ["notifications/admin.css"]}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if any("\x00" in value for value in request.GET.values()):  # which Postgres knows nothing of
            self.message_user(request, "Nothing was looked for: the address holds a NUL.", messages.ERROR)
            return HttpResponseRedirect(request.path)
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """For actions with `permissions=["act"]`."""
        codename = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")


def note(request: HttpRequest, rows: Sequence[models.Model], message: str) -> None:
    """Write what the user did to each row into the admin's own log."""
    if rows:
        LogEntry.objects.log_actions(request.user.pk, rows, CHANGE, message)  # type: ignore[arg-type]


def audited(
    request: HttpRequest, act: str, subject: str, *, touched: int = 1, detail: str = "", form: UUID | None = None
) -> bool:
    """Keep who did what in the admin, for Operations; in the transaction of the act. False: as `services.note`."""
    actor, via = request.user.get_username(), Operation.Via.ADMIN
    return services.note(act, actor=actor, via=via, subject=subject, touched=touched, detail=detail, form=form)


def named(rows: Sequence[str], things: str) -> str:
    """One by its name, many by their number: what an act on them is noted of."""
    return rows[0] if len(rows) == 1 else f"{len(rows):,} {things}"


def changes(form: Any, *, unsaid: Collection[str] = ()) -> str:
    """What a form has changed, for the audit: `rate_limit 10 → 20, is_active True → False`. `unsaid`: named alone."""
    said = []
    for name in form.changed_data:
        before, after = form.initial.get(name), form.cleaned_data.get(name)
        said.append(name if name in unsaid else f"{name} {_shown(before)} → {_shown(after)}")
    return ", ".join(said)


def _shown(value: object) -> str:
    return "none" if value in (None, "") else str(value)


def moment(field: str) -> Callable[[Any, models.Model], str]:
    """A column that shows a time to the second and says of which zone: an attribute of a ModelAdmin."""

    @admin.display(description=f"{field.removesuffix('_at').replace('_', ' ')} (UTC)")
    def shown(_: Any, row: models.Model) -> str:
        at: datetime | None = getattr(row, field)
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else "-"

    return shown


def label(word: str, kind: str = "") -> SafeString:
    """A word on a coloured ground; the word says it all, for those who do not see the colour."""
    return format_html('<span class="notifier-label notifier-{}">{}</span>', kind or word, word)


TEST: Final = label("TEST", "test")  # of a key or a notification: it reaches the sandbox only
