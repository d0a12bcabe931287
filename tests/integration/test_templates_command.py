"""Templates as files: what is written is what is read, and only what changed becomes a version."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from notifications.models import Template, TemplateVersion
from tests.integration.templates import ORDER, VARIABLES, template, version

pytestmark = pytest.mark.django_db(transaction=True)


def export(folder: Path) -> list[str]:
    return told("--export", folder)


def import_(folder: Path, *options: str) -> list[str]:
    return told("--import", folder, *options)


def told(way: str, folder: Path, *options: str) -> list[str]:
    out = io.StringIO()
    call_command("templates", way, str(folder), *options, stdout=out)
    return out.getvalue().splitlines()


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_templates_are_written_as_files_and_read_back(tmp_path: Path) -> None:
    kept = version(template(name="order-shipped", description="To buyers.").template, ORDER, example=VARIABLES)
    Template.objects.create(name="says-nothing")
    assert export(tmp_path) == ["order-shipped@2"]
    assert set(files(tmp_path / "order-shipped")) == {
        *("template.json", "email.html", "email.message.txt", "email.subject.txt", "slack.message.txt"),
        "sms.message.txt",
    }
    assert files(tmp_path)["order-shipped/email.subject.txt"] == "Order {{ order.number }}\n"

    Template.objects.all().delete()
    assert import_(tmp_path, "--note", "From the repository.") == ["order-shipped@1"]
    made = TemplateVersion.objects.get()
    assert (made.bodies, made.example, made.note) == (kept.bodies, VARIABLES, "From the repository.")
    assert (made.template.name, made.template.description, made.template.current) == ("order-shipped", "To buyers.", 1)


def test_what_has_not_changed_makes_no_version(tmp_path: Path) -> None:
    template(name="a")
    template(name="b")
    export(tmp_path)
    assert import_(tmp_path) == ["a@1 (unchanged)", "b@1 (unchanged)"]
    (tmp_path / "b/sms.message.txt").write_bytes(b"another\r\n\r\n")
    assert import_(tmp_path) == ["a@1 (unchanged)", "b@2"]
    assert import_(tmp_path) == ["a@1 (unchanged)", "b@2 (unchanged)"]

    before = files(tmp_path / "a")
    export(tmp_path)
    assert files(tmp_path / "a") == before
    assert files(tmp_path)["b/sms.message.txt"] == "another\n"


def test_a_text_that_is_no_more_is_no_more_among_the_files(tmp_path: Path) -> None:
    first = template(name="a")
    export(tmp_path)
    version(first.template, {"sms": {"message": "x"}})
    export(tmp_path)

    assert set(files(tmp_path)) == {"a/template.json", "a/sms.message.txt"}


def test_another_example_or_description_is_read_too(tmp_path: Path) -> None:
    template(name="a")
    export(tmp_path)
    about = tmp_path / "a/template.json"
    about.write_text(json.dumps({"description": "new", "example": {}}))
    assert import_(tmp_path) == ["a@1 (unchanged)"]
    about.write_text(json.dumps({"description": "new", "example": VARIABLES}))
    assert import_(tmp_path) == ["a@2"]
    assert Template.objects.get().description == "new"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("b/sms.message.txt", b"{{ x|safe }}", "b: sms.message cannot be read: line 1: there is no filter safe here"),
        ("b/fax.message.txt", b"x", "b: fax must be one of"),
        ("b/sms.txt", b"x", "must be template.json or one of CHANNEL.subject.txt"),
        ("b/.html", b"x", "must be template.json or one of"),
        ("b/sms.message.txt", b"\xff", "must be UTF-8"),
        ("b/sms.message.txt", b"a\x00", "holds a NUL"),
        ("b/template.json", b"{", "(line 1)"),
        ("b/template.json", b"[]", "must be an object"),
        ("b/template.json", b'{"a": 1}', "and nothing else"),
        ("b/template.json", b'{"example": []}', "`example` an object"),
        ("b/template.json", b"{}", "b: bodies are needed"),
        ("B/sms.message.txt", b"x", "no template can have this name"),
    ],
)
def test_of_what_cannot_be_read_nothing_is_imported(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    template({"sms": {"message": "x"}}, name="a")
    export(tmp_path)
    (tmp_path / "a/sms.message.txt").write_text("changed")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CommandError) as error:
        import_(tmp_path)

    assert words in str(error.value)
    assert "Nothing was imported." in str(error.value)
    assert TemplateVersion.objects.count() == 1


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        import_(tmp_path / "nowhere")
