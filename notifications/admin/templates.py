"""What notifications say by template: versions are made, looked at and gone back to, and none is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from channels.registry import open_channels
from notifications import services
from notifications.admin.base import ModelAdmin, audited, changes, label, moment, named, note
from notifications.admin.template_forms import LABELS, VariablesForm, VersionForm, tell
from notifications.models import Template, TemplateVersion

# What a mail program would do at most: pictures and styles, no scripts, no forms, no frames. The frame's own
# `sandbox` keeps scripts out as well, and the page's cookies.
_FRAME_POLICY: Final = (
    '<meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; form-action 'none'\">"
)


@admin.register(Template)
class TemplateAdmin(ModelAdmin[Template]):
    """A template's name stays: requests have it."""

    list_display = ["name", "state", "version", "channels", "description", "created"]
    search_fields = ["name", "description"]
    list_filter = ["is_active"]
    ordering = ["name"]
    change_form_template = "admin/notifications/template/change_form.html"
    created = moment("created_at")

    class Media:
        css = {"all": ["notifications/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        current = TemplateVersion.objects.filter(template=OuterRef("pk"), number=OuterRef("current"))
        return super().get_queryset(request).annotate(bodies=Subquery(current.values("bodies")))

    def get_fields(self, request: HttpRequest, obj: Template | None = None) -> Any:
        return ["name", "description", "is_active", "created"] if obj else ["name", "description"]

    def get_readonly_fields(self, request: HttpRequest, obj: Template | None = None) -> Any:
        return ["name", "created"] if obj else []

    @admin.display(description="state")
    def state(self, template: Template) -> SafeString:
        return label("active") if template.is_active else label("inactive", "revoked")

    @admin.display(description="version", empty_value="none yet")
    def version(self, template: Template) -> int | None:
        return template.current or None

    @admin.display(description="channels")
    def channels(self, template: Template) -> str:
        return ", ".join(sorted(template.bodies or {}))  # type: ignore[attr-defined]  # annotated

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        if not change:
            audited(request, services.Noted.MAKE_TEMPLATE, obj.name)
        elif form.changed_data:
            audited(request, services.Noted.CHANGE_TEMPLATE, obj.name, detail=changes(form, unsaid=["description"]))

    def delete_model(self, request: HttpRequest, obj: Template) -> None:
        audited(request, services.Noted.DELETE_TEMPLATE, obj.name)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        names = list(queryset.order_by("name").values_list("name", flat=True))
        with transaction.atomic():
            super().delete_queryset(request, queryset)
            audited(request, services.Noted.DELETE_TEMPLATE, named(names, "templates"), touched=len(names))

    def response_add(self, request: HttpRequest, obj: Template, post_url_continue: str | None = None) -> HttpResponse:
        """Go on to what it says: without, there is nothing to it."""
        return HttpResponseRedirect(_url("new", obj.pk))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        alone = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **alone})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = TemplateVersion.objects.defer("bodies", "example").order_by("-number")
        versions = found.filter(template_id=int(object_id)) if object_id.isdecimal() else found.none()
        context = {"versions": versions, "show_save_and_add_another": False, "show_save_and_continue": False}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    # --- versions ----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def viewed(view: Any) -> Any:
            return self.admin_site.admin_view(partial(view))

        return [
            path("<int:pk>/versions/new/", viewed(self._new), name="notifications_template_new"),
            path("<int:pk>/versions/<int:number>/", viewed(self._one), name="notifications_template_version"),
            path("<int:pk>/versions/<int:number>/use/", viewed(self._use), name="notifications_template_use"),
            *super().get_urls(),
        ]

    def _new(self, request: HttpRequest, pk: int) -> HttpResponse:
        template = self._template(request, pk)
        if not self.has_change_permission(request, template):
            raise PermissionDenied
        start = template.versions.filter(number=_number(request.GET.get("from"), template.current)).first()
        example = start.example if start else {}
        form = VersionForm(request.POST or None, bodies=start.bodies if start else {}, initial={"example": example})
        shown: dict[str, str] = {}
        if form.is_valid():
            try:
                if "_preview" in request.POST:
                    shown = _previewed(form.bodies(), form)
                else:
                    return self._made(request, template, form)
            except services.Refused as error:
                tell(form, error.problems)
        return self._page(request, template, form, shown, title=f"New version of {template}")

    def _made(self, request: HttpRequest, template: Template, form: VersionForm) -> HttpResponse:
        """Raises: Refused."""
        values = form.cleaned_data
        with transaction.atomic():
            made = services.add_template_version(
                template,
                form.bodies(),
                example=values["example"],
                note=values["note"],
                created_by=request.user.get_username(),
            )
            note(request, [template], f"Made version {made.number}.")
            audited(request, services.Noted.WRITE_VERSION, str(made), detail=values["note"])
        self.message_user(request, f"Version {made.number} was made, and is used from now on.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:notifications_template_change", args=[template.pk]))

    def _one(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        template = self._template(request, pk)
        version = self._version(template, number)
        initial = {"example": version.example}
        form = VariablesForm(request.POST or None, of=[name for name, _ in _sources(version.bodies)], initial=initial)
        shown: dict[str, str] = {}
        if form.is_valid():
            try:
                shown = _previewed(version.bodies, form)
            except services.Refused as error:
                tell(form, error.problems)
        return self._page(request, template, form, shown, title=f"{template}@{number}", version=version)

    def _use(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        template = self._template(request, pk)
        if not self.has_change_permission(request, template):
            raise PermissionDenied
        version = self._version(template, number)
        with transaction.atomic():
            services.use_template_version(version)
            note(request, [template], f"Went to version {number}.")
            audited(request, services.Noted.USE_VERSION, str(version))
        self.message_user(request, f"Version {number} is used from now on.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:notifications_template_change", args=[pk]))

    def _template(self, request: HttpRequest, pk: int) -> Template:
        template = self.get_object(request, str(pk))
        if not self.has_view_permission(request, template):
            raise PermissionDenied
        if template is None:
            raise Http404
        return template

    def _version(self, template: Template, number: int) -> TemplateVersion:
        version = template.versions.filter(number=number).first() if number < 2**31 else None
        if version is None:
            raise Http404
        return version

    def _page(
        self,
        request: HttpRequest,
        template: Template,
        form: VariablesForm,
        shown: Mapping[str, str],
        *,
        title: str,
        version: TemplateVersion | None = None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "template": template,
            "form": form,
            "version": version,
            "sources": _sources(version.bodies) if version else [],
            "shown": shown,
            "frame": f"{_FRAME_POLICY}{shown['html']}" if "html" in shown else "",
            "may_change": self.has_change_permission(request, template),
        }
        return TemplateResponse(request, "admin/notifications/template/version.html", context)


def _previewed(bodies: Mapping[str, Mapping[str, str]], form: VariablesForm) -> dict[str, str]:
    """Raises: Refused."""
    return services.preview_template(bodies, form.cleaned_data["channel"], form.cleaned_data["example"])


def _sources(bodies: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """In the order of the form: JSON has kept none."""
    places = open_channels()
    channels = sorted(bodies, key=lambda channel: places.index(channel) if channel in places else len(places))
    return [
        (channel, [(words, bodies[channel][part]) for part, words in LABELS.items() if part in bodies[channel]])
        for channel in channels
    ]


def _url(view: str, *arguments: int) -> str:
    return reverse(f"admin:notifications_template_{view}", args=arguments)


def _number(given: str | None, otherwise: int) -> int:
    return int(given) if given and given.isdecimal() and len(given) < 10 else otherwise
