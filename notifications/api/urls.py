"""The addresses of the API and of what belongs to it."""

from __future__ import annotations

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from notifications.api import health, metrics, pages, problems, receipts, viewsets, webhooks

router = SimpleRouter()
router.trailing_slash = "/?"  # a redirect would lose a POST's body
router.register("notifications/batch", viewsets.BatchViewSet, basename="batch")  # before it passes for an id
router.register("notifications", viewsets.NotificationViewSet, basename="notification")
router.register("slack", viewsets.SlackViewSet, basename="slack")
router.register("mail", viewsets.MailViewSet, basename="mail")
router.register("sms", viewsets.SmsViewSet, basename="sms")
router.register("webhooks", webhooks.WebhookViewSet, basename="webhook")

urlpatterns = [
    path("api/v1/", include(router.urls)),  # first, because it is asked most
    path("api/v1/receipts/<str:head>/<uuid:notification_id>/<int:attempt>", receipts.receipt, name="receipt"),
    path("problems", pages.problems, name="problems"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", pages.SwaggerView.as_view(), name="docs"),
    re_path(r"^api/", problems.nothing_here),
]
