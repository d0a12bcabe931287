"""Staff of the admin: who may do everything is a fixture, `browser`."""

from __future__ import annotations

from django.contrib.auth.models import Permission, User
from django.test import Client as Browser


def only_looking() -> Browser:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    browser = Browser()
    browser.force_login(user)
    return browser
