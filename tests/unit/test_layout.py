"""What import-linter cannot say: it sees Django as one package."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def test_channels_import_no_database_and_no_model() -> None:
    files = list((ROOT / "channels").rglob("*.py"))

    assert len(files) > 10
    for file in files:
        wrong = {name for name in imported(file) if name.startswith(("django.db", "django.contrib"))}
        assert not wrong, f"{file.name}: {wrong}"


def test_raw_sql_lives_in_the_outbox_alone() -> None:
    for file in (ROOT / "notifications").rglob("*.py"):
        if "outbox" in file.parts or "migrations" in file.parts:
            continue
        text = file.read_text()
        assert "cursor.execute(" not in text, file
        assert "objects.raw(" not in text, file
