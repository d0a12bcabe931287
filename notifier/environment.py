"""The one place where environment variables are read: names, types and defaults of DESIGN's contract.

A variable that is set but empty counts as unset, so that a line of `.env` can be left blank.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from channels import rate as rates

Options = Mapping[str, Any]  # of a backend, "backend" among them
# By its kind, what makes a backend's options from the text behind a colon; the kind has the colon where it wants one.
Kinds = Mapping[str, Callable[[str], Options]]

BASE_DIR = Path(__file__).resolve().parent.parent

_env = environ.Env()
# What the process was started with wins over the file. Tests name no file, so that nobody's `.env` changes them.
_file = os.environ.get("NOTIFIER_ENV_FILE", str(BASE_DIR / ".env"))
if _file and Path(_file).is_file():
    _env.read_env(_file)


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def number(name: str, default: int, *, least: int = 0) -> int:
    raw = text(name)
    try:
        value = int(raw) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if value < least:
        raise ImproperlyConfigured(f"{name} must be at least {least}, not {value}.")
    return value


def flag(name: str, *, default: bool) -> bool:
    raw = text(name).lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be on or off, not {raw!r}.")


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def pairs(name: str) -> dict[str, str]:
    """A comma-separated list of `name=value`."""
    found: dict[str, str] = {}
    for word in words(name):
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals or not key or not value.strip():
            # The value is a secret here (a webhook): name the entry, never show it.
            raise ImproperlyConfigured(f"{name} must be a list of name=value; an entry has no name or no value.")
        if key in found:
            raise ImproperlyConfigured(f"{name} names {key!r} twice.")
        found[key] = value.strip()
    return found


def backends(name: str, default: str, kinds: Kinds) -> list[Options]:
    """A comma-separated list of kinds, or of `kind:what it needs`, as options of a channel's backends in its order.

    Each has the name of its kind, a second one of the kind with its number behind it.
    """
    found: list[Options] = []
    given = words(name) or [default]
    for word in given:
        kind, colon, needs = word.partition(":")
        if kind + colon not in kinds or bool(colon) != bool(needs) or given.count(word) > 1:
            # What it needs is a secret more often than not: say what may be named, and show nothing of what is.
            known = ", ".join(f"{each}…" if each.endswith(":") else each for each in kinds)
            raise ImproperlyConfigured(f"{name} must be a list of different ones of: {known}.")
        before = sum(1 for each in given[: len(found)] if each.partition(":")[0] == kind)
        found.append({"name": f"{kind}{before + 1}" if before else kind, **kinds[kind + colon](needs)})
    return found


def choice(name: str, options: tuple[str, ...], default: str) -> str:
    value = text(name, default).lower()
    if value not in options:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(options)}, not {value!r}.")
    return value


def rate(name: str, default: str) -> str:
    """How many in which time, such as 1/s; off: no limit."""
    value = text(name, default).lower()
    try:
        rates.parse(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} {error}.") from None
    return value


def is_address(url: str) -> bool:
    """Whether it is an http or https URL with a host and, if any, a port that can be."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def folder(name: str, default: str) -> Path:
    return Path(text(name, default)).expanduser().absolute()


def database(url: str, name: str = "DATABASE_URL") -> dict[str, object]:
    """Django's dictionary for a Postgres URL, the value of the variable `name`.

    Raises: ImproperlyConfigured where the URL is of another database or has no name.
    """
    if url.partition("://")[0] not in {"postgres", "postgresql", "psql", "pgsql"}:
        raise ImproperlyConfigured(f"{name} must begin with postgresql://: this service needs Postgres 14 or later.")
    parsed = dict(_env.db_url_config(url))
    if not parsed.get("NAME"):
        raise ImproperlyConfigured(f"{name} names no database: postgresql://user:password@host:5432/name")
    return parsed
