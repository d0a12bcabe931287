"""Without a collector, without the packages, or with a collector that hangs, the service does what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from notifications.models import Notification
from notifications.outbox import accept
from tests import processes
from tests.contract.stand_in import HttpStandIn, Silent
from tests.eventually import eventually
from tests.integration.tracing.collector import Collector
from tests.integration.tracing.conftest import Posted

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"channel": "slack", "message": "Hello."}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# As if the packages were not there: Python reads a `sitecustomize` at its start.
MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
LOADED = """
import sys, django
django.setup()
from django.core.handlers.wsgi import WSGIHandler
WSGIHandler()
import notifier.worker
print(*sys.modules)
"""


@pytest.fixture
def packages_missing(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds none of them."""
    (tmp_path / "sitecustomize.py").write_text(MISSING)
    return {"PYTHONPATH": str(tmp_path)}


def sent(count: int = 1) -> bool:
    return Notification.objects.filter(status="sent").count() == count


def loaded(environment: dict[str, str]) -> set[str]:
    """The modules of a web server's process and a worker's, of which OpenTelemetry's begin with its name."""
    told = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=environment | {"DJANGO_SETTINGS_MODULE": "notifier.settings"},
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_nothing_that_traces_is_imported_where_no_collector_is_named(known: dict[str, str]) -> None:
    # The client of Redis imports what meters by itself, where it finds it.
    tracing = {"notifications.tracing.telemetry", "opentelemetry.sdk.trace", "opentelemetry.exporter"}
    assert not tracing & loaded(processes.environment(**known))


def test_nothing_of_it_is_needed(known: dict[str, str], packages_missing: dict[str, str]) -> None:
    modules = loaded(processes.environment(**known, **packages_missing))
    assert "notifications.tracing" in modules
    assert not [name for name in modules if name.startswith("opentelemetry")]


def test_without_a_collector_no_trace_is_stored_or_sent_on(
    slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    with processes.web(**known) as (_, url), processes.worker(**known):
        post(url, BODY, traceparent=TRACEPARENT)
        eventually(sent, what="sent")
    assert Notification.objects.get().traceparent is None
    assert "traceparent" not in slack.requests[0].headers


@pytest.mark.parametrize(
    "form", [accept.ACCEPT, accept.ACCEPT_LABELED, accept.ACCEPT_LOOKING, accept.ACCEPT_WITH_FILES]
)
def test_only_the_form_for_traces_names_their_column(form: str) -> None:
    assert "traceparent" not in form
    assert accept.traced(form).count("traceparent") == 3  # read, named and given


def test_without_the_packages_it_says_so_and_goes_on(
    slack: HttpStandIn, known: dict[str, str], post: Posted, packages_missing: dict[str, str], collector: Collector
) -> None:
    environment = known | collector.environment | packages_missing
    with processes.web(**environment) as (web, url), processes.worker(**environment) as worker:
        post(url, BODY, traceparent=TRACEPARENT)
        eventually(sent, what="sent")
        assert "tracing.not_installed" in web.log
        assert "tracing.not_installed" in worker.log
    assert collector.requests == []


def test_a_collector_that_hangs_holds_up_no_accept_no_send_and_no_end(known: dict[str, str], post: Posted) -> None:
    count, batches = 100, 30  # more spans than the queue of them holds
    with Silent() as collector:
        environment = known | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with processes.web(**environment) as (web, url), processes.worker(**environment) as worker:
            post(url, BODY, name="the first")
            eventually(lambda: collector.connections >= 1, what="the collector is asked, and does not answer")
            began = monotonic()
            for number in range(batches):
                post(url, {"notifications": [BODY] * count}, path="/batch", name=str(number))
            accepted = monotonic() - began
            eventually(lambda: sent(count * batches + 1), seconds=60, what="all sent")
            began = monotonic()
            worker.terminate()
            web.terminate()
            assert worker.wait() == 0
            web.wait()
            ended = monotonic() - began
    assert accepted < batches * 1.0
    assert ended < 10


def test_a_collector_that_is_away_changes_nothing(known: dict[str, str], post: Posted) -> None:
    environment = known | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with processes.web(**environment) as (_, url), processes.worker(**environment):
        post(url, BODY)
        eventually(sent, what="sent")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "5"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, known: dict[str, str]) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", name: value}
    told = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=processes.environment(**known, **given),
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert f"{name} must be" in told.stderr
