"""The embedded Postgres, with real servers under real users; what needs root is skipped for others."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from notifier import embedded
from notifier.embedded import account as accounts
from notifier.embedded import binaries, cluster, place
from tests.eventually import eventually
from tests.pids import gone

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs root")
HURRIED = {"fsync": "off"}

# Runs a server until its standard input ends.
SERVE = """
import sys
from pathlib import Path
from notifier import embedded
with embedded.Server(Path(sys.argv[1]), {"fsync": "off"}) as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""

# Starts a server, and does not wait for it.
GIVE_UP = """
import sys
from pathlib import Path
from notifier import embedded
embedded.Server(Path(sys.argv[1]), {"fsync": "off"}).start(give_up=lambda: True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may pass through, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="notifier-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def connect(data_dir: Path) -> psycopg.Connection[tuple[object, ...]]:
    told = embedded.connection(data_dir)
    return psycopg.connect(
        dbname=str(told["NAME"]),
        user=str(told["USER"]),
        host=str(told["HOST"]),
        port=str(told["PORT"]),
        autocommit=True,
    )


def answer(data_dir: Path, statement: str) -> object:
    with connect(data_dir) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def serving(data_dir: Path, account: accounts.Account | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program that serves `data_dir`, its starter's process and the server's id."""
    starter = subprocess.Popen(
        [python_for(account), "-c", SERVE, str(data_dir)],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **(account.arguments() if account else {}),
    )
    with starter:
        assert starter.stdout is not None
        assert starter.stderr is not None
        line = starter.stdout.readline()
        assert line, starter.stderr.read()
        yield starter, int(line)


def python_for(account: accounts.Account | None) -> str:
    """An interpreter that this account can run with our code and the wheel: root's may be out of reach."""
    if account is None:
        return sys.executable
    trial = "import notifier.embedded, notifier.embedded.binaries as b; b._wheel()"
    paths = os.pathsep.join([str(CHECKOUT), *sys.path])
    for interpreter in (sys.executable, "/usr/bin/python3"):
        if account.can(["/usr/bin/env", f"PYTHONPATH={paths}", interpreter, "-c", trial]):
            return interpreter
    pytest.skip("no interpreter that another user can run with this checkout")


def ordinary_user() -> accounts.Account:
    for name in ("nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return accounts.Account(entry.pw_uid, entry.pw_gid)
    pytest.skip("no ordinary user on this machine")


def test_rows_survive_a_restart(folder: Path) -> None:
    with embedded.Server(folder), connect(folder) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    with embedded.Server(folder):
        assert answer(folder, "SELECT n FROM kept") == 42


def test_commits_are_durable_and_no_network_is_listened_to(folder: Path) -> None:
    with embedded.Server(folder):
        shown = {name: answer(folder, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "listen_addresses")}
    assert shown == {"fsync": "on", "synchronous_commit": "on", "listen_addresses": ""}


def test_settings_of_the_caller_win(folder: Path) -> None:
    with embedded.Server(folder, {"fsync": "off", "max_connections": "17"}):
        assert answer(folder, "SHOW max_connections") == "17"


def test_the_server_ends_with_a_parent_that_was_killed_and_keeps_its_rows(folder: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a child that its parent died")
    with serving(folder) as (starter, server):
        with connect(folder) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
        starter.kill()
        starter.wait()
        eventually(lambda: gone(server), seconds=15)
    with embedded.Server(folder, HURRIED):
        assert answer(folder, "SELECT n FROM kept") == 42


def test_a_start_right_after_a_killed_parent_waits_for_the_old_server(folder: Path) -> None:
    with serving(folder) as (starter, server):
        with connect(folder) as connection:
            connection.execute("CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
        starter.kill()
        with embedded.Server(folder, HURRIED) as again:
            assert again.pid != server
            assert answer(folder, "SELECT count(*) FROM big") == 50000


def test_a_server_left_without_a_parent_is_stopped_by_the_next_start(folder: Path) -> None:
    with embedded.Server(folder, HURRIED):
        pass
    files = place.cluster(folder)
    account = accounts.of_cluster(files)
    orphan = subprocess.Popen(
        [
            binaries.found(account) / "postgres",
            "-D",
            files,
            "--listen_addresses=",
            f"--unix_socket_directories={files}",
        ],
        cwd="/",
        env={"LC_ALL": "C"},
        stderr=subprocess.DEVNULL,
        **account.arguments(),
    )
    eventually(
        lambda: (files / "postmaster.pid").exists() and "ready" in (files / "postmaster.pid").read_text(), seconds=15
    )
    # Reaped at once, as whoever adopts an orphan does.
    reaper = threading.Thread(target=orphan.wait)
    reaper.start()
    with embedded.Server(folder, HURRIED):
        assert answer(folder, "SELECT 1") == 1
    reaper.join()
    assert orphan.returncode == 0


def test_a_second_start_names_the_first(folder: Path) -> None:
    with serving(folder) as (starter, _), pytest.raises(embedded.EmbeddedError) as refused:
        embedded.Server(folder).start()
    assert f"already running (pid {starter.pid})" in str(refused.value)


def test_who_runs_the_server_is_known_while_it_runs(folder: Path) -> None:
    assert embedded.running(folder) is None
    with serving(folder) as (starter, _):
        assert embedded.running(folder) == starter.pid
        assert starter.stdin is not None
        starter.stdin.close()
        starter.wait()
    assert embedded.running(folder) is None


def test_two_servers_run_side_by_side(folder: Path) -> None:
    one, other = folder / "one", folder / "other"
    with embedded.Server(one, HURRIED), embedded.Server(other, HURRIED), connect(one) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1")
        assert answer(other, "SELECT to_regclass('mine')") is None


@pytest.mark.parametrize("name", ["x" * 60 + "/" + "y" * 60, "a,b", "with space", 'quo"te', "ünï"])
def test_the_data_folder_may_have_any_name(folder: Path, name: str) -> None:
    data_dir = folder / name
    with serving(data_dir):
        assert answer(data_dir, "SELECT 1") == 1
        sockets = Path(str(embedded.connection(data_dir)["HOST"]))
        assert sockets.stat().st_mode & 0o777 == 0o700
    # The program was asked to end by the end of its input.
    assert not list(sockets.glob(".s.PGSQL.*"))


def test_a_socket_folder_outside_is_removed_at_the_end(folder: Path) -> None:
    deep = folder / ("x" * 100)
    with embedded.Server(deep, HURRIED):
        sockets = Path(str(embedded.connection(deep)["HOST"]))
        assert deep not in sockets.parents
    assert not sockets.exists()


def test_the_data_folder_may_be_relative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with embedded.Server(Path("here"), HURRIED):
        assert answer(folder / "here", "SELECT 1") == 1


def test_a_socket_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    deep = folder / ("x" * 100)
    deep.mkdir()
    theirs = folder / "theirs"
    theirs.mkdir(mode=0o755)
    (deep / "postgres.socket-folder").write_text(f"{theirs}\n")
    with pytest.raises(embedded.EmbeddedError, match="not a private folder"):
        embedded.connection(deep)


@as_root
def test_a_socket_folder_of_another_user_is_refused(folder: Path) -> None:
    (folder / "postgres" / "cluster").mkdir(parents=True)
    theirs = folder / "postgres" / "socket"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 12345, 12345)
    with pytest.raises(embedded.EmbeddedError, match="not a private folder"):
        embedded.connection(folder)


def test_a_cluster_of_another_major_version_is_refused(folder: Path) -> None:
    files = place.cluster(folder)
    files.mkdir(parents=True)
    (files / "PG_VERSION").write_text("15\n")
    with pytest.raises(embedded.EmbeddedError, match="was written by Postgres 15") as refused:
        embedded.Server(folder).start()
    assert str(files) in str(refused.value)


def test_a_half_made_cluster_is_made_anew(folder: Path) -> None:
    half = place.home(folder) / "cluster.new.left"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with embedded.Server(folder, HURRIED):
        assert answer(folder, "SELECT 1") == 1


def test_a_server_that_cannot_start_is_quoted(folder: Path) -> None:
    with pytest.raises(embedded.EmbeddedError, match="no_such_setting"):
        embedded.Server(folder, {"fsync": "off", "no_such_setting": "1"}).start()


def test_a_failed_start_leaves_the_folder_free(folder: Path) -> None:
    with pytest.raises(embedded.EmbeddedError):
        embedded.Server(folder, {"fsync": "off", "no_such_setting": "1"}).start()
    with embedded.Server(folder, HURRIED):
        assert answer(folder, "SELECT 1") == 1


def test_a_start_that_is_given_up_leaves_no_server(folder: Path) -> None:
    server = embedded.Server(folder, HURRIED)
    server.start(give_up=lambda: True)
    assert not server.alive()
    assert embedded.running(folder) is None


def test_it_is_stopped_in_the_middle_of_its_start_where_interrupts_are_ignored(folder: Path) -> None:
    with embedded.Server(folder, HURRIED):
        pass
    subprocess.run(
        [python_for(None), "-c", GIVE_UP, str(folder)],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),  # as a shell does for the background
        check=True,
        timeout=cluster.STOP_TIMEOUT / 2,  # after which it would be killed
    )
    assert embedded.running(folder) is None


def test_a_start_from_another_thread_is_refused(folder: Path) -> None:
    refusals: list[embedded.EmbeddedError] = []

    def start() -> None:
        try:
            embedded.Server(folder).start()
        except embedded.EmbeddedError as error:
            refusals.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(refusals[0])


def test_a_stop_does_not_wait_for_clients(folder: Path) -> None:
    server = embedded.Server(folder, HURRIED)
    server.start()
    with connect(folder) as connection:
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_the_log_holds_neither_statements_nor_values(folder: Path) -> None:
    with embedded.Server(folder, HURRIED) as server:
        with connect(folder) as connection:
            connection.execute("CREATE TABLE person (phone text UNIQUE)")
            connection.execute("INSERT INTO person VALUES ('+4915112345678')")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO person VALUES ('+4915112345678')")
        assert "4915112345678" not in server.last_words()


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(embedded.EmbeddedError, match="/proc/nowhere"):
        embedded.Server(Path("/proc/nowhere")).start()


@as_root
def test_an_ordinary_user_runs_a_server_too(folder: Path) -> None:
    user = ordinary_user()
    user.own(folder)
    with serving(folder / "data", user) as (_, server):
        assert f"\nUid:\t{user.uid}\t" in Path(f"/proc/{server}/status").read_text()


@as_root
def test_two_users_run_side_by_side(folder: Path) -> None:
    user = ordinary_user()
    (folder / "theirs").mkdir()
    user.own(folder / "theirs")
    with serving(folder / "theirs" / "data", user), embedded.Server(folder / "ours", HURRIED):
        assert answer(folder / "ours", "SELECT 1") == 1


@as_root
def test_another_user_cannot_reach_the_server(folder: Path) -> None:
    with embedded.Server(folder, HURRIED):
        sockets = place.home(folder) / "socket"
        assert answer(folder, "SELECT 1") == 1
        for other in (ordinary_user(), accounts.Account(12345, 12345)):
            psql = binaries.found(other) / "psql"
            asked = [str(psql), "-h", str(sockets), "-U", "notifier", "-c", "SELECT 1", "notifier"]
            assert not other.can(asked)
            assert not other.can(["/bin/ls", str(sockets)])
            assert not other.can(["/bin/cat", str(place.cluster(folder) / "PG_VERSION")])


@as_root
def test_the_server_of_root_runs_under_an_id_that_nobody_has(folder: Path) -> None:
    with embedded.Server(folder, HURRIED) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        uid = int(status.partition("\nUid:\t")[2].split()[0])
        groups = status.partition("\nGroups:")[2].partition("\n")[0].split()
        assert uid != 0
        with pytest.raises(KeyError):
            pwd.getpwuid(uid)
        assert groups == []
        assert {path.stat().st_uid for path in place.cluster(folder).rglob("*")} == {uid}


@as_root
def test_root_serves_an_ordinary_users_cluster_as_that_user(folder: Path) -> None:
    user = ordinary_user()
    user.own(folder)
    data_dir = folder / "data"
    with serving(data_dir, user):
        pass
    with embedded.Server(data_dir, HURRIED) as server:
        assert f"\nUid:\t{user.uid}\t" in Path(f"/proc/{server.pid}/status").read_text()
    with serving(data_dir, user):
        pass


@as_root
def test_a_folder_that_only_root_can_enter_stays_closed_and_its_database_lies_elsewhere(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed / "data"
    with embedded.Server(data_dir, HURRIED), connect(data_dir) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    elsewhere = (data_dir / "postgres").readlink()
    try:
        assert closed.stat().st_mode & 0o777 == 0o700
        assert elsewhere.parent == place.ROOTS_OWN
        assert elsewhere.stat().st_mode & 0o777 == 0o710
        assert str(elsewhere) in capfd.readouterr().err
        with embedded.Server(data_dir, HURRIED):
            assert answer(data_dir, "SELECT n FROM kept") == 42
    finally:
        shutil.rmtree(elsewhere)
    with pytest.raises(embedded.EmbeddedError, match="is gone"):
        embedded.Server(data_dir).start()


@as_root
def test_programs_that_only_root_can_run_are_copied(folder: Path) -> None:
    wheel = binaries._wheel()
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.name, symlinks=True)
    # Another version of the file, so that its copy is ours to remove.
    program = closed / wheel.name / "pginstall18" / "bin" / "postgres"
    program.write_bytes(program.read_bytes() + str(folder).encode())
    copy = place.ROOTS_OWN / f"programs-{hashlib.sha256(program.read_bytes()).hexdigest()[:16]}"
    trial = subprocess.run(
        [sys.executable, "-c", SERVE, str(folder / "data")],
        env={"PYTHONPATH": os.pathsep.join([str(closed), str(CHECKOUT), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(copy)
    assert trial.returncode == 0, trial.stderr
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_that_may_become_nobody_else_gets_one_clear_sentence(folder: Path) -> None:
    # A user namespace that knows no id but root's.
    alone = ["/usr/bin/unshare", "--user", "--map-root-user"]
    if not accounts.Account().can([*alone, "/bin/true"]):
        pytest.skip("user namespaces are not allowed here")
    trial = subprocess.run(
        [*alone, sys.executable, "-c", SERVE, str(folder / "data")],
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "root may not become another user here" in trial.stderr


def test_a_command_without_a_server_says_how_to_start_one(folder: Path) -> None:
    trial = subprocess.run(
        [sys.executable, "manage.py", "showmigrations"],
        cwd=CHECKOUT,
        env={"DATA_DIR": str(folder / "data"), "NOTIFIER_ENV_FILE": "", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trial.returncode != 0
    assert "make run" in trial.stderr
    assert "Traceback" not in trial.stderr


def test_a_killed_first_start_leaves_no_postgres_behind(folder: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder)],
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(
        lambda: any(place.home(folder).glob("cluster.new.*/PG_VERSION")) or place.cluster(folder).exists(), seconds=15
    )
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    with embedded.Server(folder, HURRIED):
        assert answer(folder, "SELECT 1") == 1


@as_root
def test_root_that_may_not_give_files_away_gets_one_clear_sentence(folder: Path) -> None:
    bounded = ["/usr/bin/setpriv", "--bounding-set=-chown", "--inh-caps=-all"]
    if not accounts.Account().can([*bounded, "/bin/true"]):
        pytest.skip("setpriv cannot take rights away here")
    trial = subprocess.run(
        [*bounded, sys.executable, "-c", SERVE, str(folder / "data")],
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EmbeddedError: The embedded Postgres cannot be set up" in trial.stderr
