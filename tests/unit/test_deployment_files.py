from __future__ import annotations

import ast
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import sandbox
from channels.registry import channels
from notifier.environment import BASE_DIR

PROFILES = {
    "production": {"postgres", "rabbitmq", "migrate", "web", "worker"},
    "development": {"postgres-dev", "rabbitmq", "migrate-dev", "web-dev", "worker-dev", "sandbox"},
    "sandbox": {"sandbox"},
}
PROGRAM = {"migrate", "web", "worker", "migrate-dev", "web-dev", "worker-dev", "sandbox"}
ONE_SHOT = {"migrate", "migrate-dev"}
DEVELOPMENT = {"migrate-dev", "web-dev", "worker-dev", "sandbox"}

# Read by compose alone, to make up addresses and set up its servers.
OF_COMPOSE = {"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"}
# What .env can say about a program on this machine and not about one in a container: its folder, where it listens
# (its ports are published elsewhere, by the same variables) and how many processes a command starts.
OF_THE_MACHINE = {
    *("DATA_DIR", "WEB_HOST", "WEB_PORT", "WEB_PROCESSES", "WORKER_PROCESSES"),
    *("SANDBOX_PORT", "SANDBOX_SMTP_PORT"),
}
OF_DEVELOPMENT = {"DEBUG"}
OF_PROVIDERS = re.compile(r"(SLACK|TWILIO|SMTP|EMAIL|RESEND|APPRISE)_(?!ON_UNKNOWN|RATE)|SMS_BACKENDS")
SECRET = re.compile(r"PASS(WORD)?$|TOKEN$|SECRET|KEY$|_URL$")


def text(path: str) -> str:
    return (BASE_DIR / path).read_text(encoding="utf-8")


@cache
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))
    return parsed


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def environment(service: str) -> dict[str, str | None]:
    found: dict[str, str | None] = services()[service]["environment"]
    return found


def command(service: str) -> str:
    given = services()[service]["command"]
    return given if isinstance(given, str) else " ".join(given)


def seconds(duration: str) -> int:
    amount, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # type: ignore[union-attr]
    return int(amount) * {"s": 1, "m": 60}[unit]


@cache
def example() -> dict[str, str]:
    return dict(re.findall(r"(?m)^([A-Z][A-Z0-9_]*)=(.*)$", text(".env.example")))


@cache
def read_by_the_program() -> set[str]:
    """Every variable that notifier/ asks notifier.environment for.

    Those that begin with NOTIFIER_ are between our own programs, and for nobody to set.
    """
    names: set[str] = set()
    for path in (BASE_DIR / "notifier").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="environment")),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    names.add(name)
    return {name for name in names if not name.startswith("NOTIFIER_")}


def stages() -> dict[str, list[str]]:
    """The Dockerfile's instructions by stage, continued lines joined."""
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in re.sub(r"\\\n\s*", "", text("Dockerfile")).splitlines():
        if line and not line.startswith("#"):
            if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
                current = start[2]
            found.setdefault(current, []).append(line)
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_has_its_services(profile: str) -> None:
    assert {name for name, service in services().items() if profile in service["profiles"]} == PROFILES[profile]


def test_every_service_is_in_a_profile() -> None:
    assert set(services()) == set().union(*PROFILES.values())


# --- the environment ---------------------------------------------------------------------------------------


def test_the_example_names_exactly_what_is_read() -> None:
    assert len(read_by_the_program()) > 30  # else the search above found nothing
    assert set(example()) == read_by_the_program() | OF_COMPOSE


def test_the_example_names_each_variable_once() -> None:
    names = re.findall(r"(?m)^([A-Z][A-Z0-9_]*)=", text(".env.example"))
    assert sorted(names) == sorted(set(names))


def test_the_example_says_what_each_variable_means() -> None:
    lines = text(".env.example").splitlines()
    for name in example():
        above = lines[lines.index(f"{name}=") - 1]
        assert re.match(r"# .{10,}", above), f"{name} has no sentence"


def test_the_example_sets_nothing() -> None:
    assert {name: value for name, value in example().items() if value} == {}


@pytest.mark.parametrize("service", sorted(PROGRAM))
def test_containers_are_given_only_what_the_program_reads(service: str) -> None:
    assert set(environment(service)) <= read_by_the_program()


@pytest.mark.parametrize("service", sorted(PROGRAM))
def test_containers_are_given_everything_that_can_be_set(service: str) -> None:
    expected = read_by_the_program() - OF_THE_MACHINE
    if service not in DEVELOPMENT:
        expected -= OF_DEVELOPMENT
    assert set(environment(service)) == expected


def test_compose_asks_for_nothing_that_the_example_lacks() -> None:
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", text("docker-compose.yml")))
    passed_on = {name for service in PROGRAM for name, value in environment(service).items() if value is None}
    assert asked >= {"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "SECRET_KEY", "WEB_PORT", "WEB_PROCESSES"}
    assert asked | passed_on <= set(example())


def test_development_sends_to_the_sandbox_and_nowhere_else() -> None:
    expected = sandbox.environment(8025, 1025, "sandbox")
    for service in DEVELOPMENT:
        given = {name: value for name, value in environment(service).items() if OF_PROVIDERS.match(name)}
        assert {name: value for name, value in given.items() if value != ""} == expected


def test_production_takes_every_provider_from_the_environment() -> None:
    for service in PROGRAM - DEVELOPMENT:
        providers = {name: value for name, value in environment(service).items() if OF_PROVIDERS.match(name)}
        assert providers
        assert set(providers.values()) == {None}


def test_development_and_production_have_a_database_each() -> None:
    def volumes(service: str) -> set[str]:
        return {volume.partition(":")[0] for volume in services()[service]["volumes"]}

    assert "@postgres:5432/" in str(environment("web")["DATABASE_URL"])
    assert "@postgres-dev:5432/" in str(environment("web-dev")["DATABASE_URL"])
    assert not volumes("postgres") & volumes("postgres-dev")


# --- secrets -----------------------------------------------------------------------------------------------


def test_no_secret_is_written_down() -> None:
    played = set(sandbox.environment(8025, 1025, "sandbox").values())
    for name, service in services().items():
        for variable, value in service["environment"].items():
            if SECRET.search(variable) and value and value not in played:
                assert re.search(r"\$\{[A-Z_]+:\?", value), f"{name} has a value for {variable}"


@pytest.mark.parametrize("variable", ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "SECRET_KEY"])
def test_a_missing_secret_stops_compose_and_names_what_to_set(variable: str) -> None:
    uses = re.findall(rf"\$\{{{variable}([^}}]*)\}}", text("docker-compose.yml"))
    assert uses
    for use in uses:
        assert use.startswith(f":?set {variable} in .env")


def test_env_is_kept_out_of_git() -> None:
    assert ".env" in text(".gitignore").splitlines()


def test_nothing_but_the_program_enters_the_build() -> None:
    lines = [line for line in text(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert let_in == {
        *("manage.py", "channels", "notifications", "notifier", "deploy/check_http.py"),
        *("requirements/prod.txt", "requirements/reload.txt", "requirements/tracing.txt"),
    }
    assert [path for path in let_in if not (BASE_DIR / path).exists()] == []


# --- containers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", sorted(set().union(*PROFILES.values())))
def test_every_image_has_a_tag(service: str) -> None:
    _, colon, tag = services()[service]["image"].rpartition(":")
    assert colon
    assert tag not in {"", "latest"}


def test_the_base_image_has_a_tag_and_can_be_replaced() -> None:
    assert stages()[""] == ["ARG PYTHON_IMAGE=python:3.11-slim-bookworm"]
    bases = {lines[0].split()[1] for name, lines in stages().items() if name}
    assert bases == {"${PYTHON_IMAGE}", "packages", "runtime"}


@pytest.mark.parametrize("stage", ["production", "development"])
def test_images_run_as_an_ordinary_user(stage: str) -> None:
    users = [line.split()[1] for line in stages()[stage] if line.startswith("USER ")]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])  # by number: orchestrators can check that it is not root


@pytest.mark.parametrize("service", sorted(PROGRAM))
def test_containers_of_the_program_have_no_privileges(service: str) -> None:
    settings = services()[service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert not {"user", "privileged", "cap_add"} & set(settings)


def test_everything_published_is_for_this_machine_alone() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("service", sorted(set().union(*PROFILES.values()) - ONE_SHOT))
def test_every_lasting_container_has_a_health_check(service: str) -> None:
    assert services()[service]["healthcheck"]["test"][0] == "CMD"


def test_the_image_has_a_health_check_of_its_own() -> None:
    assert [line for line in stages()["runtime"] if line.startswith("HEALTHCHECK ")]


@pytest.mark.parametrize(
    ("waiting", "migration"),
    [("web", "migrate"), ("worker", "migrate"), ("web-dev", "migrate-dev"), ("worker-dev", "migrate-dev")],
)
def test_nothing_starts_before_the_migrations_are_through(waiting: str, migration: str) -> None:
    assert services()[waiting]["depends_on"][migration] == {"condition": "service_completed_successfully"}
    assert services()[migration]["restart"] == "no"


@pytest.mark.parametrize(
    ("service", "database"),
    [("web", "postgres"), ("worker", "postgres"), ("web-dev", "postgres-dev"), ("worker-dev", "postgres-dev")],
)
def test_the_database_is_stopped_after_those_who_write_to_it(service: str, database: str) -> None:
    # Of what has ended already, as `migrate` has, the first version of compose keeps no order.
    assert services()[service]["depends_on"][database] == {"condition": "service_healthy"}


@pytest.mark.parametrize("image", ["notifier:production", "notifier:development"])
def test_each_image_is_built_by_one_service_that_the_others_wait_for(image: str) -> None:
    """Several that build one tag are built at once by a current compose, and all but the first fail."""
    of_it = {name for name in PROGRAM if services()[name]["image"] == image}
    [builder] = [name for name in of_it if "build" in services()[name]]

    def waits_for(name: str) -> set[str]:
        direct = set(services()[name].get("depends_on", {}))
        return direct.union(*map(waits_for, direct))

    assert {name for name in of_it if builder not in waits_for(name)} == {builder}


@pytest.mark.parametrize("service", ["worker", "worker-dev"])
def test_a_stopping_worker_is_given_time_for_its_longest_send(service: str) -> None:
    longest = max(channel.backend.send_timeout for channel in channels().values())
    option = re.search(r"--worker-shutdown-timeout (\d+)", command(service))
    assert option
    patience = timedelta(milliseconds=int(option[1]))
    assert patience > longest
    if service == "worker":  # a developer would rather not wait
        assert timedelta(seconds=seconds(services()[service]["stop_grace_period"])) > patience


def test_a_stopping_web_server_is_given_time_for_its_requests() -> None:
    option = re.search(r"--workers-kill-timeout (\d+)", command("web"))
    assert option
    assert seconds(services()["web"]["stop_grace_period"]) > int(option[1])


def test_production_has_several_limited_workers() -> None:
    deploy = services()["worker"]["deploy"]
    assert deploy["replicas"] >= 2
    assert set(deploy["resources"]["limits"]) == {"cpus", "memory"}


@pytest.mark.parametrize("service", ["web-dev", "worker-dev"])
def test_development_runs_the_checkout_read_only_and_watches_all_of_it(service: str) -> None:
    packages = {"channels", "notifications", "notifier"}
    assert set(services()[service]["volumes"]) == {f"./{name}:/app/{name}:ro" for name in packages}
    assert [name for name in packages if name not in command(service).split()] == []


def test_the_development_image_has_the_versions_of_the_production_image() -> None:
    def pins(path: str) -> set[tuple[str, str]]:
        return set(re.findall(r"(?m)^([a-z0-9-]+)(?:\[[a-z,]+\])?(==\S+)", text(path)))

    production, development = pins("requirements/prod.txt"), pins("requirements/reload.txt")
    assert production
    assert production <= development
    assert {name for name, _ in development - production} == {"anyio", "watchfiles"}


def test_packages_are_installed_by_hash_and_never_built() -> None:
    for stage in ("packages", "packages-development"):
        installs = [line for line in stages()[stage] if " install " in line]
        assert installs
        for line in installs:
            assert "--require-hashes" in line
            assert "--only-binary :all:" in line
            assert "--no-cache-dir" in line


def test_the_image_serves_as_compose_does() -> None:
    [line] = [line for line in stages()["runtime"] if line.startswith("CMD ")]
    arguments = re.findall(r'"([^"]*)"', line)
    assert set(arguments) == set(command("web").replace("${WEB_PROCESSES:-2}", "2").split())


def test_the_makefile_defines_every_name_that_it_uses() -> None:
    makefile = text("Makefile")
    used = set(re.findall(r"\$\(([A-Z_]+)\)", makefile))
    defined = {name for name in used if re.search(rf"(?m)^{name} *[:?]?=", makefile)}
    assert {"COMPOSE", "PROFILES", "PY"} <= defined
    assert used - defined == {"MAKEFILE_LIST", "DATABASE_URL", "UPGRADE"}  # make's own, and two of the environment


def test_what_is_mounted_and_copied_exists() -> None:
    copied = [
        source
        for lines in stages().values()
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    assert [source for source in copied if not Path(BASE_DIR, source).exists()] == []
