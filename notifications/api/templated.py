"""The three fields of a body whose texts a template writes. A body without `template` never comes here."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from notifications.api import shapes
from notifications.api.fields import StrictSerializer, Text, Whole

WRITTEN: Final = ("message", "subject", "html")  # by the template
_BOTH: Final = ErrorDetail("This is written by the template: leave it out.", code="with_template")


@extend_schema_field(dict(shapes.VARIABLES))
class Variables(serializers.Field[Any, Any, Any, Any]):
    """What the template asks for; how much of it there may be is for the service to say."""

    default_error_messages: ClassVar = {"invalid": "This must be an object."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class ByTemplate(StrictSerializer):
    """Stands before a body, whose texts it takes away."""

    template = Text(help_text="The name of a template of this service.", shape=shapes.TEMPLATE)
    template_version = Whole(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=shapes.LAST_VERSION,
        help_text="One of its versions; the current one where it is left out.",
    )
    variables = Variables(default=dict, help_text="What the template asks for; 16 KiB at most, as JSON.")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        both = {name: [_BOTH] for name in WRITTEN if name in data}
        try:
            values = super().to_internal_value({name: value for name, value in data.items() if name not in both})
        except ValidationError as error:
            raise ValidationError({**both, **error.detail}) from None  # type: ignore[dict-item]  # a dictionary here
        if both:
            raise ValidationError(both)
        return values
