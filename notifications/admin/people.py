"""Who may look and act: Django's own users and groups, in the theme's forms, and noted in the audit.

Rights are given by those who have them all: somebody who may only change users could make themselves anything else.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from notifications import services
from notifications.admin.base import ModelAdmin, Row, audited, changes, moment, named

RIGHTS: Final = ("is_superuser", "groups", "user_permissions")
UNSAID: Final = (*RIGHTS[1:], "permissions", "password")  # too long to be said, or secret

admin.site.unregister(User)
admin.site.unregister(Group)


class Accounts(ModelAdmin[Row]):
    """Notes every change of what it shows; what there is to choose from is a list of boxes to tick."""

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None:
            field.help_text = ""  # how to choose from another widget
        return field

    def save_model(self, request: HttpRequest, obj: Row, form: ModelForm[Row], change: bool) -> None:  # noqa: FBT001 - Django's
        super().save_model(request, obj, form, change)
        if not change:
            audited(request, services.Noted.MAKE_ACCOUNT, _name(obj))
        elif form.changed_data:
            audited(request, services.Noted.CHANGE_ACCOUNT, _name(obj), detail=changes(form, unsaid=UNSAID))

    def delete_model(self, request: HttpRequest, obj: Row) -> None:
        audited(request, services.Noted.DELETE_ACCOUNT, _name(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Row]) -> None:
        names = [_name(each) for each in queryset.order_by("pk")]
        with transaction.atomic():
            super().delete_queryset(request, queryset)
            audited(request, services.Noted.DELETE_ACCOUNT, named(names, "accounts"), touched=len(names))


def _name(row: models.Model) -> str:
    return f"{type(row).__name__.lower()} {row}"


@admin.register(User)
class UserPage(UserAdmin, Accounts[User]):  # type: ignore[type-arg]  # Django's takes a parameter for type checkers alone
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "first_name", "last_name", "is_staff", "is_active", "seen"]
    seen = moment("last_login")
    list_filter_sheet = True
    filter_horizontal = ()  # its pair of lists is wider than a page, and its filters have no names for who cannot see
    readonly_fields = ["last_login", "date_joined"]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        given = super().get_readonly_fields(request, obj)
        return given if request.user.is_superuser else (*given, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's
        """Another's password, or one's own; the audit has whose."""
        with transaction.atomic():
            before = self.get_object(request, id)
            answer = super().user_change_password(request, id, form_url)
            after = self.get_object(request, id)
            if before is not None and after is not None and before.password != after.password:
                audited(request, services.Noted.CHANGE_ACCOUNT, _name(after), detail="password")
        return answer


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """A password is a right, too: that of somebody who may do everything is changed by such alone."""
    return user is None or request.user.is_superuser or not user.is_superuser


@admin.register(Group)
class GroupPage(GroupAdmin, Accounts[Group]):
    filter_horizontal = ()
