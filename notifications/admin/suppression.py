"""The suppression list: to whom nothing is sent, and who says so."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from channels import masks
from channels.registry import channels, open_channels
from notifications import intake, services
from notifications.admin.base import TEST, Watched, audited, label, moment, named, note
from notifications.admin.paging import MOST, BoundedPaginator, NewestFirst
from notifications.models import Suppression
from notifications.outbox import suppress
from notifications.states import Reason


class NewSuppressionForm(forms.ModelForm):  # type: ignore[type-arg]
    channel = forms.ChoiceField(
        choices=lambda: [(name, name) for name in open_channels()], widget=UnfoldAdminSelectWidget
    )
    recipient = forms.CharField(
        help_text="As requests have it: an address, a number, the name of a webhook.", widget=UnfoldAdminTextInputWidget
    )
    detail = forms.CharField(required=False, help_text="A line to remember it by.", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = Suppression
        fields = ["channel", "recipient", "test", "reason", "detail"]
        help_texts = {"test": "For what test keys ask for, and nothing live."}

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return given
        channel, test = given["channel"], given["test"]
        try:
            given["recipient"] = intake.normal_recipient(channel, given["recipient"], test=test)
        except intake.Refused as error:
            self.add_error("recipient", f"This {error.problems[0].detail}.")
        except intake.NoSandbox as error:
            self.add_error("test", f"{error}.")
        else:
            if Suppression.objects.filter(address=suppress.address(channel, given["recipient"], test=test)).exists():
                self.add_error("recipient", "This is on the list already.")
        return given


@admin.register(Suppression)
class SuppressionAdmin(Watched[Suppression]):
    list_display = ["recipient", "channel", "why", "source", "created_by", "created", "detail"]
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ["address"]
    search_help_text = "A whole recipient."
    actions = ["unsuppress"]
    fields = readonly_fields = (
        *("recipient", "channel", "why", "detail", "source", "notification_id", "created_by", "created"),
    )

    created = moment("created_at")

    @admin.display(description="reason")
    def why(self, row: Suppression) -> SafeString:
        shown = label(row.reason, "revoked")
        return shown + TEST if row.test else shown

    # --- the list ----------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        """By the index: what is looked for over every channel is a few addresses."""
        if not (term := search_term.strip()):
            return queryset, False
        wanted = {
            suppress.address(channel, recipient, test=test)
            for channel in channels()
            for recipient in {term, _normal(channel, term)}
            for test in (False, True)
        }
        return queryset.filter(address__in=wanted), False

    # --- acts --------------------------------------------------------------------------------------------

    @admin.action(description="Take selected from the list: they can be sent to again", permissions=["act"])
    def unsuppress(self, request: HttpRequest, rows: QuerySet[Suppression]) -> None:
        with transaction.atomic():
            gone = services.unsuppress_all(list(rows.order_by("-id")[:MOST]), actor=request.user.get_username())
            for row in gone:
                note(request, [row], f"Taken from the list: {_masked(row)} ({row.reason}).")
            if gone:
                audited(request, services.Noted.ALLOW, named(list(map(_masked, gone)), "recipients"), touched=len(gone))
        self.message_user(request, f"{len(gone):,} recipients were taken from the list.", messages.SUCCESS)

    # --- a new one ---------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.add_suppression")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's
        return super().get_form(request, obj, change, **({} if obj else {"form": NewSuppressionForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        return self.fields if obj else NewSuppressionForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        return self.readonly_fields if obj else ()

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        new = services.suppress(
            obj.channel,
            obj.recipient,
            reason=Reason(obj.reason),
            detail=obj.detail,
            actor=request.user.get_username(),
            test=obj.test,
        )
        if new:
            audited(request, services.Noted.SUPPRESS, _masked(obj), detail=obj.reason)
        obj.pk = Suppression.objects.get(address=suppress.address(obj.channel, obj.recipient, test=obj.test)).pk


def _masked(row: Suppression) -> str:
    return masks.on_channel(row.channel, row.recipient, test=row.test)


def _normal(channel: str, to: str) -> str:
    try:
        return intake.normal_recipient(channel, to)
    except intake.Refused:
        return to
