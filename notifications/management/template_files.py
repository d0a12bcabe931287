"""A template as a folder of files: its texts as they are, what else there is to it as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from notifications.templating import NAME as TEMPLATE_NAME

ABOUT: Final = "template.json"
_ENDINGS: Final = {"subject": ".subject.txt", "message": ".message.txt", "html": ".html"}


class Unreadable(Exception):
    """Raised when a folder holds no template; says which file is to be mended, and how."""


@dataclass(frozen=True, slots=True)
class Read:
    name: str
    description: str
    bodies: dict[str, dict[str, str]]
    example: dict[str, Any]


def write(
    folder: Path, name: str, bodies: Mapping[str, Mapping[str, str]], example: Mapping[str, Any], description: str
) -> None:
    """Raises: OSError."""
    here = folder / name
    here.mkdir(parents=True, exist_ok=True)
    files = {
        f"{channel}{_ENDINGS[part]}": f"{source}\n" for channel, body in bodies.items() for part, source in body.items()
    }
    about = {"description": description, "example": example}
    files[ABOUT] = json.dumps(about, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    for file in here.iterdir():
        if file.name not in files and _part(file.name):
            file.unlink()  # a text that the template no longer has would come back with the next import
    for name_, content in files.items():
        (here / name_).write_text(content, encoding="utf-8", newline="\n")


def read(folder: Path) -> Read:
    """Raises: Unreadable, OSError."""
    if not re.fullmatch(TEMPLATE_NAME, folder.name):
        raise Unreadable(f"{folder}: no template can have this name.")
    bodies: dict[str, dict[str, str]] = {}
    about: dict[str, Any] = {}
    for file in sorted(folder.iterdir()):
        if file.name == ABOUT:
            about = _about(file)
        elif found := _part(file.name):
            channel, part = found
            bodies.setdefault(channel, {})[part] = _text(file)
        else:
            endings = ", ".join(f"CHANNEL{ending}" for ending in _ENDINGS.values())
            raise Unreadable(f"{file}: must be {ABOUT} or one of {endings}.")
    return Read(folder.name, about.get("description", ""), bodies, about.get("example", {}))


def _part(file_name: str) -> tuple[str, str] | None:
    """The channel and the part of a text; None where it is none."""
    for part, ending in _ENDINGS.items():
        channel = file_name.removesuffix(ending)
        if channel not in {file_name, ""}:
            return channel, part
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"{file}: must be UTF-8.") from None


def _about(file: Path) -> dict[str, Any]:
    try:
        about = json.loads(_text(file))
    except json.JSONDecodeError as error:
        raise Unreadable(f"{file}: {error.msg} (line {error.lineno}).") from None
    if not isinstance(about, dict) or about.keys() - {"description", "example"}:
        raise Unreadable(f"{file}: must be an object with `description` and `example`, and nothing else.")
    if not isinstance(about.get("description", ""), str) or not isinstance(about.get("example", {}), dict):
        raise Unreadable(f"{file}: `description` must be a text, and `example` an object.")
    return about
