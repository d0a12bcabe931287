"""Whatever an operator does by a command is kept among the operations, with who did it, and without secrets."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from notifications.management.operators import user
from notifications.models import ApiKey, Operation
from tests.integration.templates import template

pytestmark = pytest.mark.django_db(transaction=True)

ANN = ("--channel", "sms", "--recipient", "+14155552671")


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, no_color=True)
    return out.getvalue()


def noted() -> list[tuple[str, str, str, int, str]]:
    rows = Operation.objects.order_by("id")
    assert {(row.via, row.state) for row in rows} <= {("command", "done")}
    return [(row.act, row.subject, row.actor, row.touched, row.detail) for row in rows]


def test_lanes_that_are_paused_and_resumed() -> None:
    run("lanes", "--pause", "sms", "--reason", " moving house ", "--actor", "ann")
    run("lanes", "--pause", "sms", "--reason", "x", "--until", "2040-01-02T03:04:05", "--actor", "ann")
    run("lanes", "--resume", "sms")
    for wrong in (["--resume", "sms"], ["--pause", "slak", "--reason", "x"]):
        with pytest.raises(CommandError):
            run("lanes", *wrong)

    assert noted() == [
        ("pause", "sms", "ann", 1, "until it is resumed: moving house"),
        ("pause", "sms", "ann", 1, "until 2040-01-02 03:04:05 UTC: x"),
        ("resume", "sms", user(), 1, ""),
    ]


def test_recipients_that_are_suppressed_and_allowed_are_masked() -> None:
    run("suppress", *ANN, "--reason", "opt_out", "--actor", "ann")
    run("suppress", *ANN, "--remove")
    with pytest.raises(CommandError):
        run("suppress", *ANN, "--remove")

    assert noted() == [
        ("suppress", "sms +1415•••••71", "ann", 1, "opt_out"),
        ("allow", "sms +1415•••••71", user(), 1, ""),
    ]


def test_clients_and_keys_that_are_made_and_nothing_where_one_is_kept(tmp_path: Path) -> None:
    text = run("create_api_key", "shop", "--scope", "read", "--expires", "2040-01-02", "--actor", "ann").strip()
    made = ApiKey.objects.get()
    kept = str(tmp_path / "key")
    for _ in range(2):
        run("create_api_key", "shop", "--ensure-from-file", kept)

    ensured = ApiKey.objects.latest("id")
    assert noted() == [
        ("make client", "shop", "ann", 1, ""),
        ("make key", f"{made} of shop", "ann", 1, "read until 2040-01-02 00:00 UTC"),
        ("make key", f"{ensured} of shop", user(), 1, "send, read, manage"),
    ]
    assert text not in str(noted())
    assert Path(kept).read_text().strip() not in str(noted())


def test_versions_that_are_imported_are_one_act(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        template(name=name)
    run("templates", "--export", str(tmp_path))
    run("templates", "--import", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / name / "sms.message.txt").write_text("another")
    (tmp_path / "c" / "template.json").write_text('{"description": "To buyers.", "example": {}}')
    run("templates", "--import", str(tmp_path), "--note", "From the repository.", "--actor", "ann")

    assert ("change template", "c", "ann", 1, "description") in noted()
    (written,) = [each for each in noted() if each[0] == "write version"]
    assert written[2:] == ("ann", written[1].count("@"), "From the repository.")
    assert written[1].startswith("a@2, b@2")


def test_an_import_that_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    template(name="a")
    run("templates", "--export", str(tmp_path))
    (tmp_path / "a" / "sms.message.txt").write_text("{% if %}")
    with pytest.raises(CommandError):
        run("templates", "--import", str(tmp_path))

    assert noted() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_api_key", "shop"],
        ["lanes", "--resume", "sms"],
        ["suppress", *ANN],
        ["templates", "--import", "texts"],
    ],
)
def test_an_actor_is_a_name(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="must be a name of 1 to 200 characters"):
        run(*arguments, "--actor", " ")
    assert noted() == []
