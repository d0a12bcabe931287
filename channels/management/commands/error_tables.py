"""`manage.py error_tables`: what every provider's codes mean, as the page docs/errors.md (`make errors`)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand

import channels
from channels.contract import Backend
from channels.errors import Meaning, Table
from channels.failure import FAILURES
from channels.http_errors import HTTP

INTRODUCTION = """\
# What providers' codes mean

What comes of each answer, by the tables that the backends raise their errors from. The contract suite has every row
said at the wire that is said there. An attempt records the backend and the code; the row decides that says most: the
provider's own word, then the status or the reply, then a form of them (`4xx`, `5yz`). What each kind leads to is
told in [channels](channels.md). Written by `make errors`; a test compares it with the code.
"""
NETWORK = """\
What happens before any answer, or instead of one, whatever the protocol. *In doubt*: over HTTP as soon as a byte of the
request was handed to the network, in SMTP once the final dot was."""

# What backends have in common: the title of its section, whose rows they are, and the rows.
SHARED: Sequence[tuple[str, str, Table]] = (
    ("HTTP", "Where a provider that is asked by HTTP has no row of its own.", HTTP),
    ("Network", NETWORK, FAILURES),
)


class Command(BaseCommand):
    help = "Print what every provider's codes mean, in Markdown."
    requires_system_checks: list[str] = []  # it says the same whatever the settings

    def handle(self, *_: Any, **__: Any) -> None:
        self.stdout.write("\n".join(page()))


def backends() -> list[type[Backend]]:
    """Every backend of this package that has a table, by name; whether or not an installation uses it."""
    modules = (importlib.import_module(f"channels.{found.name}") for found in pkgutil.iter_modules(channels.__path__))
    found = {
        each
        for module in modules
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Backend) and each.errors is not None and each.__module__ == module.__name__
    }
    return sorted(found, key=lambda backend: backend.name)


def page() -> Iterator[str]:
    """The page's lines."""
    yield INTRODUCTION
    for backend in backends():
        told = inspect.getdoc(inspect.getmodule(backend)) or ""
        yield from section(backend.name, told.partition("\n")[0], backend.errors or Table())
    for title, told, table in SHARED:
        yield from section(title, told, table)


def section(title: str, told: str, table: Table) -> Iterator[str]:
    yield from (f"## {title}", "", told, "")
    yield from ("| code | what it says | kind | what follows |", "|---|---|---|---|")
    yield from map(line, table.own.values())
    for name, _, shared in SHARED:
        if table.beneath is shared:
            yield from ("", f"Otherwise as under [{name}](#{name.lower()}).")
    yield ""


def line(row: Meaning) -> str:
    return f"| [`{row.code}`]({row.source}) | {row.says} | {row.kind} | {row.action} |"
