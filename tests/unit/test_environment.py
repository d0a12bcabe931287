"""What the environment's variables mean, and what is said of a wrong one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifier import environment

NAME = "NOTIFIER_TEST_VALUE"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def value(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv(NAME, raising=False)
    return monkeypatch


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_value_is_the_default(value: pytest.MonkeyPatch, blank: str) -> None:
    value.setenv(NAME, blank)
    assert environment.text(NAME, "default") == "default"
    assert environment.number(NAME, 7) == 7
    assert environment.flag(NAME, default=True) is True
    assert environment.words(NAME) == []


def test_a_missing_value_is_the_default(value: pytest.MonkeyPatch) -> None:
    assert environment.text(NAME, "default") == "default"


def test_spaces_around_a_value_do_not_count(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, " text ")
    assert environment.text(NAME) == "text"


def test_a_number_is_read(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "42")
    assert environment.number(NAME, 0) == 42


@pytest.mark.parametrize("wrong", ["many", "4.5", "1e3", "-1"])
def test_what_is_no_whole_number_of_zero_or_more_is_refused_by_name(value: pytest.MonkeyPatch, wrong: str) -> None:
    value.setenv(NAME, wrong)
    with pytest.raises(ImproperlyConfigured, match=NAME):
        environment.number(NAME, 0)


def test_a_number_below_the_least_is_refused(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "1")
    with pytest.raises(ImproperlyConfigured, match="at least 2"):
        environment.number(NAME, 5, least=2)


@pytest.mark.parametrize(
    ("given", "meant"), [("1", True), ("TRUE", True), ("Yes", True), ("on", True), ("0", False), ("off", False)]
)
def test_a_flag_is_read(value: pytest.MonkeyPatch, given: str, *, meant: bool) -> None:
    value.setenv(NAME, given)
    assert environment.flag(NAME, default=not meant) is meant


def test_a_flag_that_is_neither_on_nor_off_is_refused_by_name(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "maybe")
    with pytest.raises(ImproperlyConfigured, match=NAME):
        environment.flag(NAME, default=False)


def test_a_list_is_cut_at_commas_and_stripped(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "one, two,,three ,")
    assert environment.words(NAME) == ["one", "two", "three"]


def test_pairs_keep_what_follows_the_first_equals_sign(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "ops=https://example.com/?a=b, dev = https://example.org")
    assert environment.pairs(NAME) == {"ops": "https://example.com/?a=b", "dev": "https://example.org"}


@pytest.mark.parametrize("wrong", ["https://hooks.example/secret", "ops=", "=https://hooks.example/secret"])
def test_a_pair_without_name_or_value_is_refused_without_showing_it(value: pytest.MonkeyPatch, wrong: str) -> None:
    value.setenv(NAME, wrong)
    with pytest.raises(ImproperlyConfigured, match=NAME) as refused:
        environment.pairs(NAME)
    assert "secret" not in str(refused.value)


def test_a_name_given_twice_is_refused(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "ops=1,ops=2")
    with pytest.raises(ImproperlyConfigured, match="'ops' twice"):
        environment.pairs(NAME)


def test_a_choice_is_read_in_any_case(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "StartTLS")
    assert environment.choice(NAME, ("tls", "starttls"), "tls") == "starttls"


def test_an_unknown_choice_is_refused_with_the_known_ones(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "ssl")
    with pytest.raises(ImproperlyConfigured, match="tls, starttls"):
        environment.choice(NAME, ("tls", "starttls"), "tls")


def test_a_relative_folder_is_of_the_working_directory(value: pytest.MonkeyPatch, tmp_path: Path) -> None:
    value.chdir(tmp_path)
    value.setenv(NAME, "here")
    assert environment.folder(NAME, "/else") == tmp_path / "here"


def test_a_database_url_is_read() -> None:
    read = environment.database("postgresql://me:p%40ss@db.example:6543/notes")
    assert {name: read[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")} == {
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": 6543,
        "NAME": "notes",
    }


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://me:secret@one:5432,two:5433/notes?target_session_attrs=read-write", "one,two", "5432,5433"),
        ("postgresql://me:secret@one,two/notes?target_session_attrs=read-write", "one,two", ""),
        ("postgresql://me@/notes?host=one,two&port=5432,5433&target_session_attrs=read-write", "one,two", "5432,5433"),
        ("postgresql://me@/notes?host=/run/one,/run/two&target_session_attrs=read-write", "/run/one,/run/two", ""),
    ],
)
def test_a_database_url_of_several_servers_is_handed_on_to_libpq(url: str, host: str, port: str) -> None:
    read = environment.database(url)
    options = read["OPTIONS"]
    assert isinstance(options, dict)
    assert (read["HOST"] or options["host"], read["PORT"] or options.get("port", "")) == (host, port)
    assert options["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    "wrong", ["mysql://me:secret@db/notes", "sqlite:///x.db", "postgresql://me:secret@db", "db.example:5432/notes"]
)
def test_another_database_or_none_is_refused_without_showing_the_password(wrong: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refused:
        environment.database(wrong)
    assert "secret" not in str(refused.value)


def read_in_a_new_process(expression: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"from notifier import environment; print({expression})"],
        cwd=CHECKOUT,
        env={"PATH": os.defpath, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_file_gives_what_the_process_was_not_started_with(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("WEB_PORT=9001\nWEB_HOST=0.0.0.0\n")
    read = read_in_a_new_process(
        "environment.text('WEB_PORT'), environment.text('WEB_HOST')", NOTIFIER_ENV_FILE=str(file), WEB_PORT="9002"
    )
    assert read == "9002 0.0.0.0"


def test_a_blank_variable_wins_over_the_file(tmp_path: Path) -> None:
    # `make run` blanks what an unfinished configuration left over, where the sandbox plays the provider.
    file = tmp_path / "settings.env"
    file.write_text("SMTP_USERNAME=left-over\n")
    read = read_in_a_new_process(
        "repr(environment.text('SMTP_USERNAME'))", NOTIFIER_ENV_FILE=str(file), SMTP_USERNAME=""
    )
    assert read == "''"


def test_no_file_is_read_where_none_is_named() -> None:
    assert read_in_a_new_process("environment._file", NOTIFIER_ENV_FILE="") == ""


def settings_refused(**variables: str) -> str:
    """What `manage.py` says of wrong settings."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=CHECKOUT,
        env={"PATH": os.defpath, "NOTIFIER_ENV_FILE": "", "SECRET_KEY": "x" * 50, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WEB_PORT": "http"}, "WEB_PORT"),
        ({"WORKER_THREADS": "0"}, "WORKER_THREADS"),
        ({"PUBLIC_URL": "notify.example.com"}, "PUBLIC_URL"),
        ({"SANDBOX_URL": "127.0.0.1:8025"}, "SANDBOX_URL"),
        ({"SANDBOX_URL": "http://sandbox:port"}, "SANDBOX_URL"),
        ({"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY"),
        ({"DATABASE_URL": "mysql://db/notes"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://db/notes", "SECRET_KEY": ""}, "SECRET_KEY"),
        (
            {"SLACK_WEB_HOOK_URL": "https://a.example/1", "SLACK_WEBHOOKS": "default=https://a.example/2"},
            "SLACK_WEBHOOKS",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(variables: dict[str, str], named: str) -> None:
    told = settings_refused(**variables)
    assert named in told
    assert len(told.strip().splitlines()) == 1


KINDS = {"resend": lambda _: {"backend": "a.B"}, "apprise:": lambda url: {"backend": "c.D", "url": url}}


def test_backends_are_named_by_their_kind_in_the_order_of_the_list(value: pytest.MonkeyPatch) -> None:
    value.setenv(NAME, "apprise:sns://key:secret@eu, resend, apprise:sns://key:secret@us")

    assert environment.backends(NAME, "resend", KINDS) == [
        {"name": "apprise", "backend": "c.D", "url": "sns://key:secret@eu"},
        {"name": "resend", "backend": "a.B"},
        {"name": "apprise2", "backend": "c.D", "url": "sns://key:secret@us"},
    ]


def test_without_a_list_there_is_the_usual_backend(value: pytest.MonkeyPatch) -> None:
    assert environment.backends(NAME, "resend", KINDS) == [{"name": "resend", "backend": "a.B"}]


@pytest.mark.parametrize(
    "wrong", ["sns://key:secret@eu", "resend,resend", "secret", "resend:secret", "apprise", "apprise:", "Resend"]
)
def test_a_wrong_backend_is_refused_by_what_may_be_named_and_is_not_shown(
    value: pytest.MonkeyPatch, wrong: str
) -> None:
    value.setenv(NAME, wrong)

    with pytest.raises(ImproperlyConfigured, match=f"{NAME}.*resend, apprise:…") as refused:
        environment.backends(NAME, "resend", KINDS)
    assert "secret" not in str(refused.value)
