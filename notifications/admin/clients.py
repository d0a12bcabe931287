"""Who may post, and with which keys. A key's text is shown once; its digest never."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from channels.registry import twins
from notifications import services
from notifications.admin.base import TEST, ModelAdmin, Watched, audited, changes, label, moment, named, note
from notifications.admin.webhooks import listed
from notifications.credentials import Scope
from notifications.models import ApiKey, Client


@admin.register(Client)
class ClientAdmin(ModelAdmin[Client]):
    """Clients are switched off, never deleted: their notifications outlive them."""

    list_display = ["name", "state", "created"]
    search_fields = ["name"]
    ordering = ["name"]
    fields = ["name", "is_active", "rate_limit", "webhooks", "created"]
    readonly_fields = ["webhooks", "created"]
    created = moment("created_at")

    class Media:
        css = {"all": ["notifications/admin.css"]}

    def get_fields(self, request: HttpRequest, obj: Client | None = None) -> Any:
        return self.fields if obj else ["name", "is_active", "rate_limit"]

    def has_delete_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        return False

    @admin.display(description="state")
    def state(self, client: Client) -> SafeString:
        return label("active") if client.is_active else label("inactive", "revoked")

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        if not change:
            audited(request, services.Noted.MAKE_CLIENT, obj.name)
        elif form.changed_data:
            audited(request, services.Noted.CHANGE_CLIENT, obj.name, detail=changes(form))

    @admin.display(description="webhooks")
    def webhooks(self, client: Client) -> SafeString:
        return listed(client)


class NewKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope],
        initial=[scope.value for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        help_text="send: have notifications accepted; read: read them; manage: resend, cancel, reschedule them.",
    )

    class Meta:
        model = ApiKey
        fields = ["client", "name", "scopes", "is_test", "expires_at"]
        help_texts = {
            "name": "What the key is for, to tell a client's keys apart.",
            "is_test": "What it asks for is delivered to the sandbox only, and it sees and changes nothing else.",
            "expires_at": "UTC; empty for a key that is valid until it is revoked.",
        }

    def clean_is_test(self) -> Any:
        is_test = self.cleaned_data["is_test"]
        if is_test and not twins():
            raise forms.ValidationError("This service has no sandbox that a test key could reach: set SANDBOX_URL.")
        return is_test

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("This must be in the future.")
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(Watched[ApiKey]):
    list_display = ["__str__", "client", "name", "allows", "state", "created", "expires", "revoked"]
    list_filter = ["is_test", ("client", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["client"]
    search_fields = ["prefix", "name", "client__name"]
    ordering = ["-id"]
    actions = ["revoke"]
    fields = ["client", "name", "prefix", "allows", "state", "created", "expires", "revoked"]
    readonly_fields = ["allows", "state", "created", "expires", "revoked"]
    created, expires, revoked = moment("created_at"), moment("expires_at"), moment("revoked_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.add_apikey")

    @admin.display(description="scopes")
    def allows(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at:
            shown = label("revoked")
        elif key.expires_at and key.expires_at <= timezone.now():
            shown = label("expired", "revoked")
        else:
            shown = label("active")
        return shown + TEST if key.is_test else shown

    @admin.action(description="Revoke selected keys for good", permissions=["act"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        with transaction.atomic():
            # Locked: of two who do it at once the second finds none.
            valid = list(rows.filter(revoked_at=None).select_related("client").select_for_update(of=("self",)))
            ApiKey.objects.filter(pk__in=[key.pk for key in valid]).update(revoked_at=Now())
            note(request, valid, "Revoked.")
            if valid:
                subject = named([f"{key} of {key.client.name}" for key in valid], "keys")
                audited(request, services.Noted.REVOKE_KEY, subject, touched=len(valid))
        self.message_user(request, f"{len(valid)} keys were revoked.", messages.SUCCESS)

    # --- a new one ---------------------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's
        return super().get_form(request, obj, change, **({} if obj else {"form": NewKeyForm}), **kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.fields if obj else NewKeyForm.Meta.fields

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        made, request.new_key = services.create_api_key(  # type: ignore[attr-defined]  # for the answer alone
            obj.client,
            name=obj.name,
            scopes=[Scope(each) for each in obj.scopes],
            expires_at=obj.expires_at,
            test=obj.is_test,
        )
        obj.pk, obj.prefix, obj.created_at = made.pk, made.prefix, made.created_at
        audited(request, services.Noted.MAKE_KEY, f"{made} of {made.client.name}", detail=made.grants)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown_once = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **shown_once})

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key in this very answer: a redirect would have to keep it somewhere, in a cookie or a session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new key",
            "opts": self.opts,
            "media": self.media,
            "key": obj,
            "text": request.new_key,  # type: ignore[attr-defined]
        }
        answer = TemplateResponse(request, "admin/notifications/apikey/made.html", context)
        answer.headers["Cache-Control"] = "no-store"
        return answer
