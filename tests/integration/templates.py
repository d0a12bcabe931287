"""Templates as an operator would have made them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from notifications import services
from notifications.models import Template, TemplateVersion

ORDER = {
    "email": {
        "subject": "Order {{ order.number }}",
        "message": "Dear {{ name }},\nyour order {{ order.number }} is on its way.",
        "html": "<p>Dear {{ name }}</p>",
    },
    "slack": {"message": "{{ name }} has bought <https://example.com|something>."},
    "sms": {"message": "Order {{ order.number }} is on its way{% if order.by %} by {{ order.by }}{% endif %}."},
}
VARIABLES: dict[str, Any] = {"name": "Ann", "order": {"number": 42}}


def template(bodies: Any = None, *, name: str = "", **fields: Any) -> TemplateVersion:
    """The first version of a template of its own, whose name no other test has remembered."""
    made = Template.objects.create(name=name or f"order-{uuid4().hex[:8]}", **fields)
    return version(made, ORDER if bodies is None else bodies)


def version(of: Template, bodies: Any, **fields: Any) -> TemplateVersion:
    return services.add_template_version(of, bodies, created_by="ada", **fields)
