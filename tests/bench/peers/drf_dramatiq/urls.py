from __future__ import annotations

from django.urls import path

from tests.bench.peers.drf_dramatiq.views import Accept, KeyedAccept

urlpatterns = [
    path("notifications", Accept.as_view()),
    path("keyed/notifications", KeyedAccept.as_view()),
]
