"""Plugins as processes of their own, forked from a server that has them loaded.

Loading a plugin takes a second of CPU, more than most of the tests' runs. What a test asks of the process itself (its
memory, its way in and out, what others see of it) is asked of the executable instead.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from multiprocessing.connection import Connection
from typing import IO, Any, TextIO

from singer_sdk.singerlib.encoding.simple import SimpleSingerReader

SERVER = multiprocessing.get_context("forkserver")
"""Nothing is forked from the tests' own process, whose threads may hold a lock just then."""
PLUGINS = ("tap-mssql", "tap-oracle-wms", "tap-sqlite", "target-postgres")
COMMANDS = {entry.name: entry for entry in entry_points(group="console_scripts") if entry.name in PLUGINS}
_STREAMS: list[TextIO] = []
"""Those of a plugin, held for as long as it lives, as `sys.__stdout__` holds one."""
SERVER.set_forkserver_preload([__name__, *(entry.module for entry in COMMANDS.values())])


class Plugin:
    """A plugin under way, with what tests use of `subprocess.Popen`, and by the same names.

    `stdin`, `stdout` and `stderr` are file descriptors or files; `stdout=subprocess.PIPE` makes a pipe to read from.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: IO[Any] | int | None = None,
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        env: Mapping[str, str] | None = None,
    ) -> None:
        ends = os.pipe() if stdout == subprocess.PIPE else None
        self.stdout = os.fdopen(ends[0], "rb") if ends else None
        given = (
            _connection(subprocess.DEVNULL if stdin is None else stdin),
            _connection(ends[1] if ends else stdout),
            _connection(stderr),
        )
        name, *arguments = command
        how = (COMMANDS[name], arguments, given, dict(os.environ if env is None else env))
        self._process = SERVER.Process(target=_run, args=how)
        self._process.start()
        self.pid = self._process.pid
        for passed in given:
            passed.close()
        if ends:
            os.close(ends[1])

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it ended."""
        if self.pid is not None and self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


def _connection(stream: IO[Any] | int) -> Connection:
    """The stream as something that can be sent to another process."""
    if stream == subprocess.DEVNULL:
        return Connection(os.open(os.devnull, os.O_RDWR))
    return Connection(os.dup(stream if isinstance(stream, int) else stream.fileno()))


def _run(entry: EntryPoint, arguments: list[str], given: Sequence[Connection], env: dict[str, str]) -> None:
    os.setsid()
    for number, stream in enumerate(given):
        os.dup2(stream.fileno(), number)
        stream.close()
    _STREAMS[:] = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.stdin, sys.stdout, sys.stderr = _STREAMS
    SimpleSingerReader.default_input = sys.stdin  # which the SDK takes when it is loaded
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [entry.name, *arguments]
    entry.load()()
