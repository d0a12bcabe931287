"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("notifications.api.urls")),  # first, because it is asked most
    path("", include("notifications.welcome.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "notifications.api.problems.bad_request"
handler403 = "notifications.api.problems.permission_denied"
handler404 = "notifications.api.problems.page_not_found"
handler500 = "notifications.api.problems.server_error"
