"""What operators see and do: every page reads by the ORM, every act is one service, noted with the operator's name."""

from django.contrib import admin

from notifications.admin import audit, clients, dashboard, lanes, notification, people, suppression, templates, webhooks

__all__ = ["audit", "clients", "dashboard", "lanes", "notification", "people", "suppression", "templates", "webhooks"]

admin.site.site_header = admin.site.site_title = "Notifier"
admin.site.index_title = "Dashboard"
admin.site.site_url = None  # there is no other site to view
