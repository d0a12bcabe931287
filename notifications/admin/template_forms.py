"""The texts of a version as a form: a group of fields for each channel, and variables to try them with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.forms import BoundField

from channels.registry import open_channels
from notifications.intake import Problem
from notifications.services.rendering import PARTS
from notifications.services.templates import NOTE_LIMIT, has_subject

LABELS = {"subject": "Subject", "message": "Message", "html": "HTML"}
_ROWS = {"message": 8, "html": 14}
_WIDE = {"class": "vLargeTextField notifier-source", "spellcheck": "false"}


class _Indented(json.JSONEncoder):
    """For people."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


class VariablesForm(forms.Form):
    """A channel, and the variables for its texts."""

    example = forms.JSONField(
        label="Variables",
        required=False,
        encoder=_Indented,
        widget=forms.Textarea({**_WIDE, "rows": 8}),
        help_text="An example of what requests give, as a JSON object. It is kept, and the preview uses it.",
    )

    def __init__(self, *args: Any, of: Sequence[str], **kwargs: Any) -> None:
        """`of`: the channels that can be chosen."""
        super().__init__(*args, **kwargs)
        choices = [(name, name) for name in of]
        self.fields["channel"] = forms.ChoiceField(label="Preview as", required=False, choices=choices)

    def clean_example(self) -> Any:
        example = self.cleaned_data["example"]
        if example is not None and not isinstance(example, dict):
            raise forms.ValidationError("This must be an object: {…}.")
        return example or {}


class VersionForm(VariablesForm):
    """All of a new version. What is empty is left out."""

    note = forms.CharField(
        required=False,
        max_length=NOTE_LIMIT,
        widget=forms.TextInput({"class": "vTextField"}),
        help_text="What is new, for those who look later.",
    )

    def __init__(self, *args: Any, bodies: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, of=open_channels(), **kwargs)
        for channel in open_channels():
            for part in PARTS if has_subject(channel) else ("message",):
                self.fields[f"{channel}.{part}"] = forms.CharField(
                    label=LABELS[part],
                    required=False,
                    strip=False,
                    initial=bodies.get(channel, {}).get(part, ""),
                    widget=forms.TextInput({"class": "vTextField notifier-source"})
                    if part == "subject"
                    else forms.Textarea({**_WIDE, "rows": _ROWS[part]}),
                )

    def groups(self) -> Iterator[tuple[str, list[BoundField]]]:
        """The fields of each channel."""
        for channel in open_channels():
            yield channel, [self[name] for name in self.fields if name.startswith(f"{channel}.")]

    def bodies(self) -> dict[str, dict[str, str]]:
        """What was posted, by channel and part."""
        found: dict[str, dict[str, str]] = {}
        for name, value in self.cleaned_data.items():
            channel, dot, part = name.partition(".")
            if dot:
                found.setdefault(channel, {})[part] = value
        return found


def tell(form: forms.Form, problems: Sequence[Problem]) -> None:
    """Each problem beside its field; what has none above all."""
    for problem in problems:
        if problem.field in form.fields:
            form.add_error(problem.field, f"This {problem.detail}.")
        else:
            form.add_error(None, f"{problem.field}: {problem.detail}.")
