"""The addresses of the first page."""

from __future__ import annotations

from django.urls import path

from notifications.welcome import views

urlpatterns = [
    path("", views.welcome, name="welcome"),
    path("first-run/<uuid:notification_id>", views.one, name="first-run"),
    path("first-run/<uuid:notification_id>/way", views.its_way, name="first-run-way"),
]
