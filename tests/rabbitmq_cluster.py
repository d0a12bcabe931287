"""Three RabbitMQ nodes on loopback that are one cluster, and what can befall each: death, a freeze, a partition.

As a cluster of production is told to (`cluster_partition_handling = pause_minority`): a node that no longer sees most
of the others stops serving until it does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.brokers import RABBITMQ, ended, listening
from tests.eventually import eventually
from tests.ports import free_port

COOKIE: Final = "notifiertests"
SIZE: Final = 3
TICKTIME: Final = 10  # seconds until a node that says nothing is down to the others; a minute by default
CALL: Final = 30.0  # seconds that a node may take to answer a question
# The leader of the queue "slack" in the virtual host /, as its member on the asked node knows it; or none.
LEADER: Final = "case ra:members({'%2F_slack', node()}) of {ok, _, L} -> L; _ -> none end"


class Node:
    """One of them. Keeps its folder when it dies, so that it comes back as itself."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster = cluster
        self.port = free_port()
        self.name = f"notifier{number}x{self.port}@localhost"
        self._distribution = free_port()
        self._folder = Path(cluster.folder, str(number))
        self._script: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin it; `await_serving` waits until clients are served."""
        self._folder.mkdir(exist_ok=True)
        names = [f"cluster_formation.classic_config.nodes.{n} = {name}" for n, name in enumerate(self.cluster.names, 1)]
        lines = [
            f"listeners.tcp.default = 127.0.0.1:{self.port}",
            "log.console = false",
            "cluster_partition_handling = pause_minority",
            f"net_ticktime = {TICKTIME}",
            "cluster_formation.peer_discovery_backend = classic_config",
            "cluster_formation.randomized_startup_delay_range.min = 0",
            "cluster_formation.randomized_startup_delay_range.max = 1",
            *names,
        ]
        (self._folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        environment = {
            **self.cluster.environment,
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": f"{self._folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self._folder}/log",
            "RABBITMQ_PID_FILE": f"{self._folder}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self._folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{self._folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._script = subprocess.Popen(
            [str(RABBITMQ)], env=environment, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )

    def await_serving(self, *, seconds: float = 90) -> None:
        assert self._script is not None
        listening(self.port, self._script, seconds=seconds)

    def end(self) -> None:
        if self._script is not None:
            self.thaw()
            self.kill()

    @property
    def alive(self) -> bool:
        return self._script is not None and self._script.poll() is None

    # --- what befalls it -----------------------------------------------------------------------------------

    def kill(self) -> None:
        assert self._script is not None
        for each in self._processes():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._script.wait(10)

    def freeze(self) -> None:
        """Its connections stand, new ones are taken by the kernel, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def cut_off(self) -> None:
        """A partition between it and the others, which both sides notice: they no longer know each other's cookie."""
        others = [each for each in self.cluster.nodes if each is not self]
        for other in others:
            other.ask(f"erlang:set_cookie('{self.name}', of_the_others)")
            self.ask(f"erlang:set_cookie('{other.name}', of_the_one)")
        for other in others:
            self.ask(f"erlang:disconnect_node('{other.name}')")

    def heal(self) -> None:
        for other in self.cluster.nodes:
            if other is not self:
                other.ask(f"erlang:set_cookie('{self.name}', {COOKIE})")
                self.ask(f"erlang:set_cookie('{other.name}', {COOKIE})")

    def close_connection(self, port: int) -> None:
        """The one of the client that comes from this port; any of them may end while they are looked through."""
        self.ask(
            '[catch rabbit_networking:close_connection(P, "moved") || P <- rabbit_networking:connections_local(),'
            f" (catch rabbit_networking:connection_info(P, [peer_port])) =:= [{{peer_port, {port}}}]]"
        )

    def lead_slack(self) -> None:
        """Make it the leader of the queue of that name."""

        def leads() -> bool:
            self.ask(f"case {LEADER} of none -> none; {{Q, _}} = M -> ra:transfer_leadership(M, {{Q, node()}}) end")
            return self.leads_slack()

        eventually(leads, what=f"{self.name} as the leader")

    def members_of_slack(self) -> int:
        """On how many nodes the queue of that name is."""
        return int(self.ask("case ra:members({'%2F_slack', node()}) of {ok, M, _} -> length(M); _ -> 0 end"))

    def set_alarm(self) -> None:
        """It has more than it should of the machine's memory: who publishes, to it or to any other, is read no more."""
        self.ask("vm_memory_monitor:set_vm_memory_high_watermark(0.00001)")
        eventually(lambda: self.ask("rabbit_alarm:get_alarms()") != "[]", what=f"an alarm of {self.name}")

    def clear_alarm(self) -> None:
        self.ask("vm_memory_monitor:set_vm_memory_high_watermark(0.4)")
        eventually(lambda: self.ask("rabbit_alarm:get_alarms()") == "[]", what=f"no alarm of {self.name}")

    # --- what it says --------------------------------------------------------------------------------------

    def ask(self, expression: str) -> str:
        """What an Erlang expression comes to there, an atom or a number as text."""
        done = subprocess.run(
            ["erl_call", "-sname", self.name, "-c", COOKIE, "-e"],
            input=f'list_to_atom(lists:flatten(io_lib:format("~0p", [begin {expression} end]))).\n',
            env=self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=CALL,
            check=True,
        )
        found = done.stdout.strip()
        assert found.startswith("{ok, "), found
        return found.removeprefix("{ok, ").removesuffix("}").strip("'")

    def serves(self) -> bool:
        """Whether it does, by its own word; one that is paused does not."""
        return self.ask("rabbit:is_running()") == "true"

    def leads_slack(self) -> bool:
        return self.name in self.ask(LEADER)

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted((self._folder / "log").glob("*.log")))

    def _processes(self) -> list[psutil.Process]:
        """The script that starts the server, and the server."""
        if self._script is None or not self.alive:
            return []
        script = psutil.Process(self._script.pid)
        return [*script.children(recursive=True), script]

    def _signal(self, number: signal.Signals) -> None:
        for each in self._processes():
            if self._script and each.pid != self._script.pid:
                each.send_signal(number)


class Cluster:
    def __init__(self, folder: str, names_port: int) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "ERL_EPMD_PORT": str(names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        cookie = Path(folder, ".erlang.cookie")
        cookie.write_text(COOKIE)
        cookie.chmod(0o400)
        self.nodes = [Node(self, number) for number in range(SIZE)]
        self.names = [node.name for node in self.nodes]

    @property
    def url(self) -> str:
        """BROKER_URL of all."""
        return ";".join(node.url for node in self.nodes)

    def consumers_of_slack(self) -> list[Node]:
        """Whom they fetch from."""
        asked = next(node for node in self.nodes if node.alive)
        found = asked.ask(
            '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"slack">>)),'
            " [node(element(1, C)) || C <- rabbit_amqqueue:consumers(Q)]"
        )
        return [node for node in self.nodes for _ in range(found.count(node.name))]

    def await_serving(self) -> None:
        # A queue that is declared earlier has no members on those that are not there yet.
        for node in self.nodes:
            node.await_serving()
        eventually(lambda: self.nodes[0].ask("length(nodes())") == str(SIZE - 1), what="a cluster of three")

    def mend(self) -> None:
        """All as it was: those that are dead are started, those that are cut off or stand still go on."""
        for node in self.nodes:
            node.thaw()
            if not node.alive:
                node.start()
        for node in self.nodes:
            node.await_serving()
        for node in self.nodes:
            node.heal()
        eventually(lambda: all(node.serves() for node in self.nodes), seconds=60, what="three nodes that serve")
        for node in self.nodes:
            node.clear_alarm()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Three nodes that have found each other, and serve."""
    missing = [name for name in ("epmd", "erl_call") if shutil.which(name) is None]
    if missing or not RABBITMQ.exists():
        pytest.skip("rabbitmq-server or erlang-base is not installed (Debian: apt-get install rabbitmq-server)")
    names_port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="notifier-rabbitmq-", ignore_cleanup_errors=True)
        )
        found = Cluster(folder, names_port)
        names = subprocess.Popen(["epmd"], env=found.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        listening(names_port, stack.enter_context(ended(names)))
        for node in found.nodes:
            stack.callback(node.end)
            node.start()
        found.await_serving()
        yield found
