"""Texts that are written out for a request."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from notifications.templating import NAME as TEMPLATE_NAME


class Template(models.Model):
    """A message that is written out with the variables of a request; what it says is in its versions."""

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[RegexValidator(rf"\A{TEMPLATE_NAME}\Z", "Small letters, digits, dots, dashes and underscores.")],
        help_text="What requests call it, such as order-shipped. It stays as it is.",
    )
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True, help_text="One that is not is unknown to requests.")
    current = models.PositiveIntegerField(
        default=0, editable=False
    )  # the version of requests that name none; 0: none yet
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "template"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """What a template says; inserted by `services.add_template_version`, never updated: it is cached for good."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()  # from 1
    bodies = models.JSONField()  # {channel: {"subject": …, "message": …, "html": …}}, without what is empty
    example = models.JSONField(default=dict)  # variables to preview it with
    note = models.TextField(blank=True)  # what is new
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.TextField()

    class Meta:
        db_table = "template_version"
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.template}@{self.number}"
