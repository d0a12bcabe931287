"""Fields of request bodies that take a value as it was meant or refuse it: nothing is coerced."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, validators

from channels.registry import open_channels
from channels.text import UNSTORABLE
from notifications.api import shapes
from notifications.api.shapes import MOST_LABELS

UNKNOWN_FIELD = serializers.ErrorDetail("There is no such field.", code="unknown_field")
_REQUIRED = serializers.ErrorDetail("This field is required.", code="required")

# RFC 3339, section 5.6; the offset is not optional there either.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


_LOOK_AT_EACH_CHARACTER = (
    validators.ProhibitSurrogateCharactersValidator,
    ProhibitNullCharactersValidator,
)


class Text(serializers.CharField):
    """A JSON string, kept to the last space; DRF would turn numbers into text and trim."""

    default_error_messages: ClassVar = {
        "invalid": "This must be a string.",
        "blank": "This must not be blank.",
        "invalid_characters": "This holds a NUL or half of a surrogate pair.",
    }

    def __init__(self, *, shape: Mapping[str, Any] | None = None, **options: Any) -> None:
        """`shape` is what the schema tells of it: the rule itself is the channel's."""
        super().__init__(trim_whitespace=False, **options)
        self._shape = shape
        self.validators = [each for each in self.validators if not isinstance(each, _LOOK_AT_EACH_CHARACTER)]

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if type(data) is not str:
            return super().run_validation(data)
        # What the rest of DRF's way comes to for a string.
        if not self.allow_blank and (not data or data.isspace()):
            self.fail("blank")
        if UNSTORABLE.search(data):
            self.fail("invalid_characters")
        if self.validators:
            self.run_validators(data)
        return data

    def to_internal_value(self, data: Any) -> str:
        self.fail("invalid")

    @property
    def shape(self) -> Mapping[str, Any]:
        return self._shape or {"type": "string", **self.narrowed()}

    def narrowed(self) -> Mapping[str, Any]:
        """What is known of any text of this kind."""
        return {}


class KnownChannel(Text):
    """One that the service has: a filter by another would find nothing, and not say why."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        name = super().run_validation(data)
        if name not in settings.NOTIFIER_CHANNELS:
            words = f"This must be one of {', '.join(settings.NOTIFIER_CHANNELS)}."
            raise serializers.ValidationError(words, code="unknown_channel")
        return name

    def narrowed(self) -> Mapping[str, Any]:
        return {"enum": list(settings.NOTIFIER_CHANNELS)}


class OpenChannelName(Text):
    """Of one that clients can post to; whether there is one of that name is for the service to say."""

    def narrowed(self) -> Mapping[str, Any]:
        return {"enum": open_channels()}


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[datetime, str, str, datetime]):
    """An RFC 3339 time with its offset → aware UTC."""

    default_error_messages: ClassVar = {
        "invalid": "This must be an RFC 3339 time with an offset, such as 2030-01-31T09:30:00+01:00.",
    }

    def to_internal_value(self, data: Any) -> datetime:
        match = _RFC3339.fullmatch(data) if isinstance(data, str) else None
        if match is None:
            self.fail("invalid")
        day, clock, fraction, offset = match.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}{offset.upper()}").astimezone(UTC)
        except (ValueError, OverflowError):  # 30 February, or the year 0 in UTC
            self.fail("invalid")
        return moment.replace(microsecond=int((fraction or ".0")[1:].ljust(6, "0")[:6]))

    def to_representation(self, value: datetime) -> str:
        return value.isoformat().replace("+00:00", "Z")


@extend_schema_field(dict(shapes.METADATA))
class Metadata(serializers.Field[Any, Any, Any, Any]):
    """A flat object of strings and numbers, kept with the notification and given back, never sent."""

    default_error_messages: ClassVar = {
        "invalid": "This must be an object whose values are strings or numbers.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Its values and its length are for the service to judge."""
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Anything(serializers.Field[Any, Any, Any, Any]):
    """A JSON value that a channel judges."""

    default_error_messages: ClassVar = {"invalid": "This must be an object."}

    def __init__(self, kind: type[Any] = object, *, shape: Mapping[str, Any] | None = None, **options: Any) -> None:
        """`kind`: what it must be at the least. `shape` is what the schema tells of it."""
        super().__init__(**options)
        self._kind = kind
        self.shape: Mapping[str, Any] = shape or {"type": "object"}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, self._kind):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Cursor(serializers.UUIDField):
    """Where a page begins: the text that an answer gave; DRF takes numbers, too."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=type(data).__name__)
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction; DRF takes texts, too."""

    def to_internal_value(self, data: Any) -> int:
        whole = type(data) is int or (isinstance(data, float) and data.is_integer())  # to JSON, 5.0 is 5
        if not whole:
            self.fail("invalid")
        return int(data)


@extend_schema_field(dict(shapes.LABELS))
class Labels(serializers.Field[Any, Any, Any, Any]):
    """Entries of metadata to look for; a number is looked for as JSON writes it."""

    default_error_messages: ClassVar = {
        "invalid": f"This must be 1 to {MOST_LABELS} entries of strings or numbers; in a query metadata[key]=value.",
        "invalid_characters": "This holds a NUL or half of a surrogate pair.",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or not 0 < len(data) <= MOST_LABELS or "" in data:
            self.fail("invalid")
        if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in data.values()):
            self.fail("invalid")
        found = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
        if any(UNSTORABLE.search(text) for entry in found.items() for text in entry):
            self.fail("invalid_characters")
        return found

    def to_representation(self, value: Any) -> Any:
        return value


class StrictSerializer(serializers.Serializer[Any]):
    """A flat object; refuses what it does not know: a misspelt name must not pass for a missing one."""

    @classmethod
    def values(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What was given, validated, defaults included. Raises: ValidationError, naming every field to mend."""
        return _shared(cls).to_internal_value(given)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        known = self._known
        values: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for name, field in known.items():
            if name in data:
                try:
                    values[name] = field.run_validation(data[name])
                except serializers.ValidationError as error:
                    problems[name] = error.detail
            elif field.default is not serializers.empty:
                values[name] = field.default() if callable(field.default) else field.default
            elif field.required:
                problems[name] = [_REQUIRED]
        if not data.keys() <= known.keys():
            unknown = [name for name in data if name not in known]
            for name in unknown[:20]:
                problems[str(name)[:100]] = [UNKNOWN_FIELD]
        if problems:
            raise serializers.ValidationError(problems)
        return values

    @cached_property
    def _known(self) -> Mapping[str, serializers.Field[Any, Any, Any, Any]]:
        return dict(self.fields)  # which is slower to read than a plain dictionary


@cache
def _shared(kind: type[StrictSerializer]) -> StrictSerializer:
    """One for all threads: making one copies every field. Validating leaves nothing behind in it."""
    return kind()
