"""docs/poolers.md: what it tells people to set is what the tests run with."""

from __future__ import annotations

from configparser import ConfigParser

from notifier.environment import BASE_DIR
from tests.pooler import SETTINGS


def test_the_pooler_of_the_page_is_the_one_that_is_tested() -> None:
    page = (BASE_DIR / "docs" / "poolers.md").read_text(encoding="utf-8")
    shown = ConfigParser()
    shown.read_string(page.partition("```ini\n")[2].partition("```")[0])

    assert SETTINGS.items() <= dict(shown["pgbouncer"]).items()
