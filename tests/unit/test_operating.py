"""The page for operators names commands, options, log lines and places that there are."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandParser

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"(?m)^## ", PAGE)[1:]
BLOCKS = re.findall(r"(?s)```sh\n(.*?)```", PAGE)
LINES = [line for block in BLOCKS for line in block.splitlines() if line and not line.startswith("#")]
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"(?s)```.*?```", "", PAGE).replace("\n", " "))
OURS = {name for name, app in get_commands().items() if app in {"notifications", "notifier", "channels"}}
OF_DJANGO = {"check"}
EVENTS = re.compile(r"\b(?:lane|lease|worker|claims|send|relay|database|nudge|broker)\.[a-z_]+\b")


@cache
def parser(command: str) -> CommandParser:
    return load_command_class(get_commands()[command], command).create_parser("manage.py", command)


def named(text: str) -> list[str]:
    """The words of one of our commands, its name first; empty where the text is something else."""
    words = shlex.split(text.removeprefix("python manage.py "), comments=True)
    return words if words and words[0] in OURS | OF_DJANGO else []


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python manage.py")])
def test_a_command_to_paste_is_understood(line: str) -> None:
    command, *arguments = named(line)
    parser(command).parse_args(arguments)


@pytest.mark.parametrize("text", sorted({text for text in INLINE if "--" in text and named(text)}))
def test_an_option_that_is_named_exists(text: str) -> None:
    command, *arguments = named(text)
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert options <= set(parser(command)._option_string_actions)


def test_the_page_has_commands_to_paste() -> None:
    assert len(LINES) > 20
    assert [line for line in LINES if not line.startswith(("python manage.py", "docker compose ", "curl "))] == []


def test_every_log_line_that_is_named_is_written() -> None:
    written = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("notifications", "notifier")
        for path in (ROOT / folder).rglob("*.py")
    )
    events = {event for text in INLINE for event in EVENTS.findall(text)}
    assert len(events) > 5
    assert {event for event in events if f'"{event}"' not in written} == set()


def test_every_link_leads_somewhere() -> None:
    anchors = {anchor(section.splitlines()[0]) for section in SECTIONS}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, place = target.partition("#")
        assert not path or (ROOT / "docs" / path).exists(), target
        assert path or place in anchors, target


@pytest.mark.parametrize("section", SECTIONS[1:], ids=lambda section: anchor(section.splitlines()[0]))
def test_a_runbook_says_what_it_means_and_what_to_do(section: str) -> None:
    heading = section.splitlines()[0]
    assert "**You see**" in section or heading.startswith(("A customer says", "A recipient asks"))
    assert "```sh" in section or re.search(r"`[^`]*(manage.py|curl|--)[^`]*`", section)
