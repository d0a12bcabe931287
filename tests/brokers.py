"""Real Redis and RabbitMQ servers on loopback, for one run of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ports import free_port

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the script behind Debian's wrapper, which would change user


@contextmanager
def redis() -> Iterator[str]:
    """Its URL."""
    with redis_server() as (url, _):
        yield url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Its URL."""
    with rabbitmq_server() as (url, _):
        yield url


@contextmanager
def redis_server(address: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its URL, and itself. Keeps nothing: a restarted one has forgotten everything, as a broker here may."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="notifier-redis-") as folder:
        arguments = ["--port", str(port), "--bind", address, "--save", "", "--appendonly", "no", "--dir", folder]
        open_to_hosts = ["--protected-mode", "no"] if address != "127.0.0.1" else []
        with ended(subprocess.Popen([command, *arguments, *open_to_hosts], stdout=subprocess.DEVNULL)) as server:
            listening(port, server, address=address)
            yield f"redis://{address}:{port}/0", server


@contextmanager
def rabbitmq_server(address: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its URL, and itself. Erlang's name server is a child of ours too: RabbitMQ alone would leave one running."""
    epmd = shutil.which("epmd")
    if not RABBITMQ.exists() or epmd is None:
        pytest.skip("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
    port, names, distribution = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="notifier-rabbitmq-") as folder:
        Path(folder, "rabbitmq.conf").write_text(
            f"listeners.tcp.default = {address}:{port}\nlog.console = false\nloopback_users = none\n"
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,  # Erlang's cookie
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"notifier{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }
        with ended(subprocess.Popen([epmd], env=environment, stdout=subprocess.DEVNULL)) as names_server:
            listening(names, names_server)
            command = subprocess.Popen([str(RABBITMQ)], env=environment, cwd=folder, stdout=subprocess.DEVNULL)
            with ended(command) as server:
                listening(port, server, address=address, seconds=60)
                yield f"amqp://guest:guest@{address}:{port}", server


@contextmanager
def ended(server: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(timeout=10)


def listening(port: int, server: subprocess.Popen[bytes], *, address: str = "127.0.0.1", seconds: float = 20) -> None:
    def answers() -> bool:
        assert server.poll() is None, f"{server.args} ended with {server.returncode}"
        with socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0

    eventually(answers, seconds=seconds, what=f"{server.args} listening")
