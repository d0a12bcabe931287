"""`manage.py up` for real: every program is the real one, in a data folder of its own and on free ports."""

from __future__ import annotations

import contextlib
import fcntl
import html
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from notifier import embedded
from tests.eventually import eventually
from tests.ports import free_port, free_ports

CHECKOUT = Path(__file__).resolve().parents[2]
Found = TypeVar("Found")

pytestmark = pytest.mark.timeout(240)


def ignore_interrupts() -> None:
    """As a shell does for a command in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Up:
    """One run of the command, and what can be seen of it from outside."""

    def __init__(self, data_dir: Path, terminal: int | None = None, **environment: str) -> None:
        """`terminal`: a descriptor of the terminal that the command is to run on."""
        self.data_dir = data_dir
        self.web_port, self.sandbox_port, smtp_port = free_ports(3)
        self._environment = {
            "PATH": os.defpath,
            "NOTIFIER_ENV_FILE": "",
            "DATA_DIR": str(data_dir),
            "WEB_PORT": str(self.web_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_SMTP_PORT": str(smtp_port),
            "WEB_PROCESSES": "1",
            "WORKER_PROCESSES": "2",
            "WORKER_THREADS": "4",
            **environment,
        }
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed by `close`)
        self.command = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=CHECKOUT,
            env=self._environment,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=self._output if terminal is None else terminal,
            stderr=self._output if terminal is None else terminal,
            start_new_session=True,
            preexec_fn=ignore_interrupts if terminal is None else take_terminal,
        )

    def output(self) -> str:
        return os.pread(self._output.fileno(), 10_000_000, 0).decode()

    def eventually(self, condition: Callable[[], Found | None]) -> Found:
        """What it returns once it is true; AssertionError with all that was written where a minute passes without."""
        return eventually(condition, seconds=60, what=self.output)

    def await_ready(self) -> str:
        """The `ready` line."""

        def ready() -> str | None:
            assert self.command.poll() is None, self.output()
            return next((line for line in self.output().splitlines() if line.startswith("ready")), None)

        return self.eventually(ready)

    def children(self, word: str = "") -> dict[int, int]:
        """The processes whose environment has our data folder (and whose command has `word`), each with its parent."""
        return {
            found.pid: found.info["ppid"]
            for found in psutil.process_iter(["cmdline", "environ", "ppid"])  # passes over what has just ended
            if (found.info["environ"] or {}).get("DATA_DIR") == str(self.data_dir)
            and word in " ".join(found.info["cmdline"] or ())
            and found.pid != self.command.pid
        }

    def programs(self, word: str) -> set[int]:
        """Those of them that the command itself started."""
        return {pid for pid, parent in self.children(word).items() if parent == self.command.pid}

    def below(self, word: str) -> set[int]:
        """Those that a program started which is alive."""
        children = self.children(word)
        return {pid for pid, parent in children.items() if parent in children}

    def environment_of(self, word: str) -> dict[str, str]:
        """What the one program of this name was given."""
        (program,) = self.programs(word)
        return dict(psutil.Process(program).environ())

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.command.poll() is None:
            self.command.send_signal(number)
        return self.command.wait(60)

    def kill(self) -> None:
        self.command.kill()
        self.command.wait()

    def close(self) -> None:
        self.stop()
        self._output.close()

    def fetch(self, path: str, **headers: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.web_port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def manage(self, *arguments: str) -> str:
        """What a command says that is given beside the running service."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=self._environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    def ready(self) -> bool:
        try:
            report = self.fetch("/readyz")
        except OSError:
            return False
        return report["status"] == "ready" and report["workers"] > 0


def paste(line: str) -> Any:
    """What the curl line of the ready text prints, run by a shell as a person would."""
    command = line[line.index("curl ") :]
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


@contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[Up]:
    up = Up(data_dir, **environment)
    try:
        yield up
    finally:
        up.close()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own: where we are root, the server's user must pass through.
    with tempfile.TemporaryDirectory(prefix="notifier-up-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Up]:
    with running(folder / "shared") as started:
        started.await_ready()
        yield started


def test_the_pasted_curl_line_sends_through_the_sandbox(up: Up) -> None:
    line = up.await_ready()
    accepted = paste(line)
    assert accepted["status"] == "pending"
    key = re.findall(r"Authorization: (Bearer [^']+)'", line)[0]

    def sent() -> Any:
        shown = up.fetch(f"/api/v1/notifications/{accepted['id']}", Authorization=key)
        return shown if shown["status"] == "sent" else None

    assert [attempt["outcome"] for attempt in up.eventually(sent)["attempts"]] == ["accepted"]


def test_the_curl_line_stands_alone_too_and_replays_when_pasted_again(up: Up) -> None:
    up.await_ready()
    (alone,) = [line for line in up.output().splitlines() if line.startswith("curl ")]
    assert up.await_ready().endswith(alone)
    assert paste(alone) == paste(alone)


def test_the_ready_line_names_every_address(up: Up) -> None:
    line = up.await_ready()
    for address in (
        f"http://127.0.0.1:{up.web_port}/api/v1/notifications",
        f"http://127.0.0.1:{up.web_port}/api/docs",
        f"http://127.0.0.1:{up.web_port}/admin/",
        f"http://127.0.0.1:{up.sandbox_port}/",
    ):
        assert address in line
        urllib.request.urlopen(address.replace("/api/v1/notifications", "/healthz"), timeout=10).close()


def test_the_ready_line_begins_with_the_first_page_which_names_the_rest_and_no_secret(up: Up) -> None:
    line = up.await_ready()
    address = f"http://127.0.0.1:{up.web_port}/"
    with urllib.request.urlopen(address, timeout=10) as answer:
        page = answer.read().decode()

    assert line.startswith(f"ready: begin at {address} · ")
    assert f'href="http://127.0.0.1:{up.sandbox_port}/"' in page
    for name in ("admin_password", "api_key"):
        kept = up.data_dir / "secrets" / name
        assert str(kept) in page
        assert kept.read_text().strip() not in page


def test_the_curl_line_of_the_first_page_works_when_pasted(up: Up) -> None:
    up.await_ready()
    with urllib.request.urlopen(f"http://127.0.0.1:{up.web_port}/", timeout=10) as answer:
        shown = re.findall(r"<pre[^>]*>(.*?)</pre>", answer.read().decode(), re.DOTALL)[0]
    assert paste(html.unescape(shown))["status"] == "pending"


def test_the_admins_password_is_kept_where_the_ready_line_says(up: Up) -> None:
    kept = Path(re.findall(r"password in ([^)]+)\)", up.await_ready())[0])
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(kept.read_text().strip()) >= 12


def test_every_program_carries_the_data_folder(up: Up) -> None:
    for word in ("granian", "dramatiq", "sandbox", "postgres"):
        assert up.children(word), word


def test_a_killed_worker_is_started_again_and_its_sibling_lives_on(up: Up) -> None:
    victim, sibling = sorted(up.programs("dramatiq"))
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = up.programs("dramatiq")
        return len(now) == 2 and sibling in now and victim not in now

    up.eventually(replaced)
    up.eventually(up.ready)


def test_a_killed_process_below_a_worker_is_replaced(up: Up) -> None:
    before = up.eventually(lambda: up.below("dramatiq"))
    os.kill(min(before), signal.SIGKILL)
    up.eventually(lambda: up.below("dramatiq") - before)
    up.eventually(up.ready)


@pytest.mark.parametrize("whole", [True, False], ids=["the master", "a process below it"])
def test_a_killed_web_server_is_started_again(up: Up, *, whole: bool) -> None:
    same = up.programs if whole else up.below
    before = up.eventually(lambda: same("granian"))
    os.kill(min(before), signal.SIGKILL)
    up.eventually(lambda: same("granian") - before)
    up.eventually(up.ready)


def test_a_killed_postgres_is_started_again_with_its_rows(up: Up) -> None:
    before = paste(up.await_ready())
    (victim,) = up.programs("postgres")
    os.kill(victim, signal.SIGKILL)
    up.eventually(lambda: up.programs("postgres") - {victim})
    up.eventually(up.ready)
    assert paste(up.await_ready()) == before


def test_a_second_start_on_the_same_folder_is_refused(up: Up) -> None:
    second = Up(up.data_dir)
    assert second.command.wait(30) == 1
    assert f"already running (pid {up.command.pid})" in second.output()
    assert "Traceback" not in second.output()
    second.close()
    assert up.ready()


@pytest.mark.parametrize("variable", ["WEB_PORT", "SANDBOX_PORT", "SANDBOX_SMTP_PORT"])
def test_a_taken_port_is_named_and_nothing_is_started(folder: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = Up(folder / variable, **{variable: str(taken.getsockname()[1])})
        assert second.command.wait(30) == 1
        second.close()
    assert not (folder / variable / "postgres").exists()


def test_a_taken_port_is_told_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = Up(folder / "taken", WEB_PORT=str(taken.getsockname()[1]))
        second.command.wait(30)
        lines = second.output().strip().splitlines()
        second.close()
    assert len(lines) == 1
    assert "WEB_PORT" in lines[0]


def test_wrong_settings_are_told_and_nothing_is_started(folder: Path) -> None:
    with running(folder / "wrong", TWILIO_ACCOUNT_SID="AC" + "1" * 32) as up:
        assert up.command.wait(30) == 1
        assert "TWILIO_AUTH_TOKEN" in up.output()
        assert not (folder / "wrong" / "postgres").exists()


def test_a_start_that_fails_says_why_and_leaves_nothing(folder: Path) -> None:
    closed = f"postgresql://me:hidden@127.0.0.1:{free_port()}/notes"
    with running(folder / "failing", DATABASE_URL=closed, SECRET_KEY="x" * 50) as up:
        assert up.command.wait(60) == 1
        assert "`migrate` failed" in up.output()
        assert "Connection refused" in up.output()
        assert "hidden" not in up.output()
        assert not up.children()


def test_with_a_database_of_ones_own_the_curl_line_works_as_well(folder: Path) -> None:
    with embedded.Server(folder / "own", {"fsync": "off"}):
        sockets = embedded.connection(folder / "own")["HOST"]
        url = f"postgresql://notifier@/notifier?host={sockets}"
        with running(folder / "beside", DATABASE_URL=url, SECRET_KEY="x" * 50, WORKER_PROCESSES="1") as up:
            assert paste(up.await_ready())["status"] == "pending"
            assert not up.children("postgres")
            up.stop()


def test_what_only_degrades_does_not_keep_the_start_from_its_end(folder: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    with running(folder / "degraded", BROKER_URL=away, WORKER_PROCESSES="1") as up:
        assert paste(up.await_ready())["status"] == "pending"
        assert up.fetch("/readyz")["status"] == "degraded"


def test_sigterm_stops_everything_and_the_next_start_knows_the_same_key(folder: Path) -> None:
    with running(folder / "twice", WORKER_PROCESSES="1") as up:
        key = re.findall(r"Authorization: (Bearer [^']+)'", up.await_ready())[0]
        assert up.children()
        assert up.stop(signal.SIGTERM) == 0
        assert not up.children()
    with running(folder / "twice", WORKER_PROCESSES="1") as up:
        assert key in up.await_ready()
        assert up.stop(signal.SIGINT) == 0
        assert not up.children()


def test_ctrl_c_on_a_terminal_stops_everything_in_order(folder: Path) -> None:
    ours, theirs = pty.openpty()
    written = b""
    up = Up(folder / "terminal", terminal=theirs, WORKER_PROCESSES="1")
    os.close(theirs)
    while b"\nready:" not in written:
        written += os.read(ours, 4096)
    os.write(ours, b"\x03")
    with contextlib.suppress(OSError):  # the terminal's end, when nobody has it open any more
        while piece := os.read(ours, 4096):
            written += piece
    os.close(ours)
    assert up.command.wait(30) == 0
    assert not up.children()
    up.close()
    assert b"worker 1 | " in written
    assert written.rstrip().endswith(b"stopped")


@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0])
def test_sigterm_in_the_middle_of_a_start_stops_everything(folder: Path, seconds: float) -> None:
    # The instants are arbitrary: whatever is under way then has to end.
    with running(folder / f"middle-{seconds}") as up:
        time.sleep(seconds)
        assert up.stop(signal.SIGTERM) in {0, -signal.SIGTERM}
        assert not up.children()


def test_no_child_survives_a_killed_parent(folder: Path) -> None:
    with running(folder / "killed") as up:
        up.await_ready()
        up.kill()
        eventually(lambda: not up.children(), what=lambda: str(up.children()))


def test_no_child_survives_a_parent_killed_in_the_middle_of_its_start(folder: Path) -> None:
    with running(folder / "killed-early") as up:
        up.eventually(lambda: up.children("postgres"))
        up.kill()
        eventually(lambda: not up.children(), what=lambda: str(up.children()))


def test_a_part_that_is_not_wanted_is_not_run(folder: Path) -> None:
    with running(folder / "parts", WEB_PROCESSES="0", WORKER_PROCESSES="0") as up:
        assert "sandbox" in up.await_ready()
        assert not up.children("granian")
        assert not up.children("dramatiq")


def test_a_configured_provider_is_not_played_by_the_sandbox(folder: Path) -> None:
    with running(
        folder / "configured",
        WORKER_PROCESSES="0",
        SLACK_WEB_HOOK_URL="https://hooks.slack.example/services/T1/B1/secret",
    ) as up:
        line = up.await_ready()
        assert "plays the providers of email, sms" in line
        environment = up.environment_of("granian")
        assert environment["SLACK_WEB_HOOK_URL"] == "https://hooks.slack.example/services/T1/B1/secret"
        assert environment["SANDBOX_URL"] == f"http://127.0.0.1:{up.sandbox_port}"


def test_what_the_sandbox_plays_is_paced_as_the_settings_say(folder: Path) -> None:
    with running(folder / "paced", WORKER_PROCESSES="0", SLACK_RATE="7/s", SLACK_ON_UNKNOWN="hold") as up:
        assert "plays the providers of slack, email, sms" in up.await_ready()
        environment = up.environment_of("granian")
        assert (environment["SLACK_RATE"], environment["SLACK_ON_UNKNOWN"]) == ("7/s", "hold")


def test_with_every_provider_configured_the_sandbox_takes_what_test_keys_send(folder: Path) -> None:
    providers = {
        "SLACK_WEB_HOOK_URL": "https://hooks.slack.example/services/T1/B1/secret",
        "TWILIO_ACCOUNT_SID": f"AC{'1' * 32}",
        "TWILIO_AUTH_TOKEN": "a live token",
        "TWILIO_FROM_NUMBER": "+15005550006",
        "EMAIL_SENDER": "shop@example.com",
        "SMTP_HOST": "smtp.example.com",
    }
    with running(folder / "all-configured", **providers) as up:
        assert "takes what test keys send" in up.await_ready()
        live_key = up.await_ready().partition("Bearer ")[2].partition("'")[0]
        test_key = up.manage("create_api_key", "tester", "--test")
        assert paste(up.await_ready().replace(live_key, test_key))["test"] is True
        messages = f"http://127.0.0.1:{up.sandbox_port}/api/messages"
        up.eventually(lambda: json.load(urllib.request.urlopen(messages, timeout=10))["count"] == 1)


def test_a_sandbox_elsewhere_takes_the_place_of_our_own(folder: Path) -> None:
    with running(
        folder / "elsewhere",
        WORKER_PROCESSES="0",
        SANDBOX_URL="http://127.0.0.1:9",
        SLACK_WEB_HOOK_URL="https://hooks.slack.example/services/T1/B1/secret",
        TWILIO_ACCOUNT_SID=f"AC{'1' * 32}",
        TWILIO_AUTH_TOKEN="a live token",
        TWILIO_FROM_NUMBER="+15005550006",
        EMAIL_SENDER="shop@example.com",
        SMTP_HOST="smtp.example.com",
    ) as up:
        assert "sandbox" not in up.await_ready()
