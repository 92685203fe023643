"""A private PostgreSQL server for the tests, and a new database of it for each test."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

NEEDED = "WIRETAPE_NEED_POSTGRES"
"""Where this variable is set, a missing PostgreSQL fails the tests instead of skipping them."""
START_DEADLINE_S = 60
PASSWORD = "hunter2"


def find_programs() -> Path | None:
    """The folder of the newest server that Debian's package, or the path, has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path:
        return Path(on_path).parent
    return found[-1].parent if found else None


def server_user() -> dict[str, Any]:
    """Whom a child becomes: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@dataclass
class Cluster:
    """A server in a folder of its own, on a port of its own; may be stopped and started again."""

    programs: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    is_durable: bool = False
    """As a server is in life; the tests lose no power."""
    numbers: Iterator[int] = field(default_factory=count)
    databases: list[str] = field(default_factory=list)

    def create(self) -> None:
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, -1)
        password_file = self.folder / "password"
        password_file.write_text(PASSWORD)
        if os.geteuid() == 0:
            os.chown(password_file, pwd.getpwnam("nobody").pw_uid, -1)
        command: list[str | Path] = [
            self.programs / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "wiretape",
            "-N",
        ]
        command += ["-E", "UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        self._run(command)

    def start(self) -> None:
        settings = {
            "fsync": "on" if self.is_durable else "off",
            "full_page_writes": "on" if self.is_durable else "off",
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "40",
            "shared_buffers": "128MB" if self.is_durable else "32MB",
            "autovacuum": "on" if self.is_durable else "off",
        }
        command: list[str | Path] = []
        if shutil.which("setpriv"):
            command += ["setpriv", "--pdeathsig", "QUIT"]  # Not to outlive tests that are killed.
        command += [self.programs / "postgres", "-D", self.folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, **server_user())
        self._await_start()

    def stop(self, how: str = "SIGINT") -> None:
        """End the server: at once and cleanly, or with SIGQUIT as if it had crashed."""
        assert self.process is not None
        self.process.send_signal({"SIGINT": 2, "SIGQUIT": 3}[how])
        self.process.wait(START_DEADLINE_S)
        self.process = None

    def url(self, database: str, *, user: str = "wiretape", password: str = PASSWORD) -> str:
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, database: str, statement: str) -> list[tuple[object, ...]]:
        """Ask the server, past the code under test."""
        address = {"host": "127.0.0.1", "port": self.port, "user": "wiretape", "password": PASSWORD}
        with psycopg.connect(dbname=database, autocommit=True, **address) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """A database without tables; returns its URL."""
        name = f"test{next(self.numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        self.databases.append(name)
        return self.url(name)

    def drop_databases(self) -> None:
        """Delete what `new_database` made."""
        for name in self.databases:
            self.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")
        self.databases.clear()

    def _await_start(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self.execute("postgres", "select 1")
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                os.sched_yield()
            else:
                return

    def _run(self, command: list[str | Path]) -> None:
        done = subprocess.run(command, **server_user(), capture_output=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started_cluster(folder: Path) -> Cluster:
    """Make and start a server in an empty folder. Skips the test, or fails it, where there is none."""
    programs = find_programs()
    if programs is None:
        reason = "PostgreSQL's server is not installed (Debian: postgresql)"
        if os.environ.get(NEEDED):
            pytest.fail(f"{reason}, and {NEEDED} is set")
        pytest.skip(reason)
    cluster = Cluster(programs, folder, free_port())
    cluster.create()
    cluster.start()
    return cluster


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """One server for all tests of this process, started for the first that asks."""
    with tempfile.TemporaryDirectory(prefix="wiretape-pg-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        started = started_cluster(Path(name))
        try:
            yield started
        finally:
            if started.process is not None:
                started.stop("SIGQUIT")  # Nobody needs what it would write down first.


@pytest.fixture
def cluster(server: Cluster) -> Iterator[Cluster]:
    """The server; what a test makes there is gone after it."""
    yield server
    server.drop_databases()


@pytest.fixture
def postgres_url(cluster: Cluster) -> str:
    """The URL of a database without tables."""
    return cluster.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made, in each kind of database: what holds of one holds of the other."""
    if request.param == "sqlite":
        return str(tmp_path / "t.db")
    url: str = request.getfixturevalue("postgres_url")
    return url
