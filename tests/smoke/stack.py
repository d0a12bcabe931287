"""The stack of docker-compose.yml as a project of its own, with other ports, volumes and secrets than the developer's.

Use it as a context: it begins from nothing, whatever an earlier run may have left, and ends with nothing.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psycopg

from channels import sandbox
from notifier.environment import BASE_DIR
from tests.eventually import eventually
from tests.faults.checks import Findings, check
from tests.faults.clients import Call, CallLog, Load, RetryingClient
from tests.ports import free_port
from tests.smoke.engine import BUILDING, Engine, run

OVERLAY: Final = Path(__file__).with_name("compose.yml")
PROFILES: Final = ("production", "development", "sandbox")
HEALTHY_WITHIN: Final = 300.0  # seconds: checks that come too late on a busy machine are asked again
DOCKERS_GRACE: Final = 10  # seconds, where compose says nothing
SHOWN: Final = 60  # lines of each container's log, beside a failure


class Stack:
    def __init__(self, engine: Engine, folder: Path, profiles: Sequence[str], checkout: Path = BASE_DIR) -> None:
        self.engine = engine
        self.name = f"notifier-smoke-{profiles[0]}"
        self.image = f"notifier-smoke:{profiles[0]}"
        self.log = CallLog(folder / "calls")
        self._profiles = profiles
        self._checkout = checkout
        self._journal = folder / "journal"
        self._web, self._sandbox, postgres = free_port(), free_port(), free_port()
        self._env = folder / "env"
        self._env.write_text(_env(self._web, self._sandbox, postgres), encoding="utf-8")
        password = re.findall(r"(?m)^POSTGRES_PASSWORD=(.*)$", self._env.read_text(encoding="utf-8"))[0]
        self.database = f"postgresql://notifier:{password}@127.0.0.1:{postgres}/notifier"  # of production
        self.api_key = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._web}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self._sandbox}"

    def __enter__(self) -> Stack:
        try:
            self._down()
            self.compose("up", "--build", "--detach", seconds=BUILDING)
            web = "web" if "production" in self._profiles else "web-dev"
            eventually(self.answers, seconds=HEALTHY_WITHIN, what="the web server's answer")
            [container] = self.containers(web)
            made = self.engine.docker("exec", container, "python", "manage.py", "create_api_key", "smoke")
            self.api_key = made.strip()
        except BaseException:
            print(self.logs())  # beside the failure
            self._down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self._down()

    def _down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", profiles=PROFILES)

    # --- containers --------------------------------------------------------------------------------------

    def compose(self, *arguments: str, profiles: Collection[str] = (), seconds: float = 180) -> str:
        files = ("-f", str(self._checkout / "docker-compose.yml"), "-f", str(OVERLAY))
        chosen = [word for profile in profiles or self._profiles for word in ("--profile", profile)]
        command = [*self.engine.compose, "-p", self.name, "--env-file", str(self._env), *files, *chosen, *arguments]
        return run(command, seconds=seconds, folder=self._checkout)

    def containers(self, service: str = "") -> list[str]:
        """The ids of all that there are, of one service or of all, running or not."""
        labels = [f"label=com.docker.compose.project={self.name}"]
        if service:
            labels.append(f"label=com.docker.compose.service={service}")
        options = [word for label in labels for word in ("--filter", label)]
        return self.engine.docker("ps", "--all", "--quiet", "--no-trunc", *options).split()

    def inspect(self, service: str = "") -> list[dict[str, Any]]:
        return self.engine.inspect(*self.containers(service))

    def until_healthy(self, *services: str) -> float:
        """The seconds until each container of them is up and healthy; without a name, each that lasts."""
        began = monotonic()

        def healthy() -> bool:
            found = [each for service in services or ("",) for each in self.inspect(service)]
            states = [each["State"] for each in found if "Health" in each["State"]]
            return bool(states) and all(s["Running"] and s["Health"]["Status"] == "healthy" for s in states)

        eventually(healthy, seconds=HEALTHY_WITHIN, what=f"health of {services or 'all'}")
        return monotonic() - began

    def stop(self, service: str, *, exits: Collection[int] = (0,)) -> str:
        """Ask it to, which it must follow by itself and in time; says what that took."""
        began = monotonic()
        self.compose("stop", service)
        took = monotonic() - began
        codes, grace = self.ended_well(service, exits=exits)
        return f"{service}: exit {codes} after {took:.1f} s, of {grace} s at most"

    def ended_well(self, service: str, *, exits: Collection[int] = (0,)) -> tuple[str, int]:
        """The exit codes, and the grace period in seconds. Whoever is ended by force when that is over has 137."""
        found = self.inspect(service)
        for state in (each["State"] for each in found):
            assert state["Status"] == "exited", (service, state)
            assert state["ExitCode"] in exits, (service, state)
            assert not state["OOMKilled"], (service, state)
        codes = ", ".join(str(each["State"]["ExitCode"]) for each in found)
        return codes, max(each["Config"].get("StopTimeout") or DOCKERS_GRACE for each in found)

    def logs(self) -> str:
        lines = []
        for each in self.inspect():
            state = each["State"]
            told = run(["sh", "-c", f"docker logs --tail {SHOWN} {each['Id']} 2>&1"], seconds=30)
            lines += [f"--- {each['Name']}: {state['Status']}, exit {state['ExitCode']}", told]
        return "\n".join(lines)

    # --- clients and witnesses ---------------------------------------------------------------------------

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(urlopen(f"{self.url}/healthz", timeout=5).status == 200)
        return False

    def client(self) -> RetryingClient:
        return RetryingClient([self.url], self.api_key, self.log)

    def load(self, name: str) -> Load:
        """Enough to have requests, claims and sends under way at any moment, and little enough for two processors."""
        return Load([self.url], self.api_key, self.log, name=name, rate=30, channels=("slack", "email"))

    def slow_provider(self, seconds: float) -> None:
        """Let it answer that late from now on: so there are sends under way at any moment."""
        fault = {"kind": "latency", "latency_ms": int(seconds * 1000)}
        body = json.dumps({"slack": fault, "email": fault}).encode()
        urlopen(Request(f"{self.sandbox_url}/api/faults", body, method="PUT"), timeout=10).close()

    def taken(self) -> int:
        """How many messages the provider has received."""
        with urlopen(f"{self.sandbox_url}/api/messages?limit=0", timeout=10) as answer:
            return int(json.load(answer)["taken"])

    def received(self, text: str) -> list[str]:
        """The messages at the provider that hold a text, whole."""
        with urlopen(f"{self.sandbox_url}/api/messages?{urlencode({'text': text})}", timeout=10) as answer:
            return [message["body"] for message in json.load(answer)["results"]]

    def status(self, call: Call) -> str:
        """What has become of a notification that this call was answered for; "" while the web server is away."""
        address = f"{self.url}{json.loads(call.answer)['links']['self']}"
        request = Request(address, headers={"Authorization": f"Bearer {self.api_key}"})
        with suppress(OSError), urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["status"])
        return ""

    def send(self, channel: str, text: str) -> Call:
        """Post it; it must be accepted."""
        call = self.client().post(channel, text, key=f"{channel} {text}")
        assert call is not None
        assert call.status == 202, call
        return call

    def open(self, ids: Collection[object] | None = None) -> int | None:
        """How many are pending or being sent, of these or of all; None while the database does not answer."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.database, connect_timeout=3) as connection:
            row = connection.execute(
                "SELECT count(*) FROM notification WHERE status IN ('pending', 'sending') AND (%s OR id = ANY(%s))",
                (ids is None, list(ids or ())),
            ).fetchone()
            return int(row[0]) if row else None
        return None

    def check(self) -> Findings:
        """Once nothing is open any more: what was acknowledged is sent and was received, and doubles are marked."""
        eventually(lambda: self.open() == 0, seconds=90, what="an outbox without open notifications")
        [container] = self.containers("sandbox")
        self._journal.write_text(self.engine.docker("exec", container, "cat", "/tmp/journal"), encoding="utf-8")
        found = check(self.log.acknowledged(), database=self.database, journal=self._journal)
        assert found.acknowledged, "nothing was accepted: nothing was tried"
        assert not self.log.differing_answers()
        return found


def copy_checkout(folder: Path) -> Path:
    """What compose mounts and builds from, readable by a container's own user."""
    for name in (".dockerignore", "Dockerfile", "docker-compose.yml", "manage.py"):
        shutil.copy(BASE_DIR / name, folder)
    for name in ("channels", "deploy", "notifications", "notifier", "requirements"):
        shutil.copytree(BASE_DIR / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _env(web_port: int, sandbox_port: int, postgres_port: int) -> str:
    """What `make init` writes, with ports of its own and the sandbox for a provider, as docs/deployment.md says."""
    text: str = runpy.run_path(str(BASE_DIR / "deploy" / "first_env.py"))["filled"](
        (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    )
    # At Slack's own pace, a message a second, no load would end.
    chosen = {"WEB_PORT": str(web_port), "SANDBOX_PORT": str(sandbox_port), "SLACK_RATE": "off"}
    for name, value in (sandbox.environment(8025, 1025, "sandbox") | chosen).items():
        text, found = re.subn(rf"(?m)^{name}=$", f"{name}={value}", text)
        assert found == 1, name
    return f"{text}\nSMOKE_POSTGRES_PORT={postgres_port}\n"
