"""A tap piped into a target, as Meltano runs them: state is what the target printed, saved line by line.

Meltano itself adds seconds to every start, which a test that kills hundreds of runs cannot afford; the tests of the
Meltano project are in test_main_job.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests import loaded

BIN = Path(sys.executable).parent
WAIT_SECONDS = 600.0

Process = loaded.Plugin | subprocess.Popen[bytes]


@dataclass
class Ended:
    """How one run ended: exit codes, what was written to stderr, the STATE lines the target passed on."""

    tap: int
    target: int
    tap_log: str
    target_log: str
    states: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Both ended with 0."""
        return self.tap == 0 and self.target == 0

    def explain(self) -> str:
        """Everything there is to see, for a failed assertion."""
        return f"tap {self.tap}, target {self.target}\n--- tap\n{self.tap_log}\n--- target\n{self.target_log}"


@dataclass
class Pipeline:
    """One extractor and one loader with their settings, and the state file between runs.

    With `executables` both are started as Meltano starts them; without, ours are forked (`loaded.py`).
    """

    folder: Path
    tap_config: dict[str, Any]
    target_config: dict[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    tap: str = "tap-mssql"
    target: str = "target-postgres"
    catalog: Path | None = None
    executables: bool = False

    @property
    def state_file(self) -> Path:
        """Where the last STATE is kept."""
        return self.folder / "state.json"

    @property
    def state(self) -> dict[str, Any]:
        """The saved state, empty before the first."""
        return json.loads(self.state_file.read_text()) if self.state_file.exists() else {}

    def bookmark(self, stream: str) -> dict[str, Any]:
        """The stream's bookmark in the saved state."""
        return dict(self.state.get("bookmarks", {}).get(stream, {}))

    def run(self, **tap_settings: Any) -> Ended:
        """Run to the end. `tap_settings` override the tap's for this run."""
        return self.start(**tap_settings).wait()

    def start(self, on_state: Callable[[int], None] | None = None, **tap_settings: Any) -> Running:
        """Start both. `on_state` is called with the number of STATE lines so far, from the reading thread."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ours = {"batch_root": str(self.folder / "batches")} if self.tap.startswith("tap-") else {}
        tap_config = {**ours, **self.tap_config, **tap_settings}
        tap_config = {name: value for name, value in tap_config.items() if value is not None}
        arguments = ["--config", str(self._write("tap.json", tap_config))]
        if self.catalog is not None:
            arguments += ["--catalog", str(self.catalog)]
        if self.state_file.exists():
            arguments += ["--state", str(self.state_file)]
        tap = self._start([self.tap, *arguments], subprocess.DEVNULL, "tap.log")
        settings = str(self._write("target.json", self.target_config))
        target = self._start([self.target, "--config", settings], tap.stdout, "target.log")
        if tap.stdout is not None:
            tap.stdout.close()
        return Running(self, tap, target, on_state)

    def _start(self, command: list[str], stdin: IO[bytes] | int | None, log: str) -> Process:
        env = {**os.environ, **self.env}
        with (self.folder / log).open("wb") as said:
            if command[0] in loaded.COMMANDS and not self.executables:
                return loaded.Plugin(command, stdin=stdin, stdout=subprocess.PIPE, stderr=said, env=env)
            command[0] = str(BIN / command[0])
            out = subprocess.PIPE
            return subprocess.Popen(command, stdin=stdin, stdout=out, stderr=said, env=env, start_new_session=True)

    def _write(self, name: str, content: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(content))
        path.chmod(0o600)
        return path


class Running:
    """A tap and a target under way."""

    def __init__(
        self,
        pipeline: Pipeline,
        tap: Process,
        target: Process,
        on_state: Callable[[int], None] | None,
    ) -> None:
        self.pipeline, self.tap, self.target = pipeline, tap, target
        self.states: list[dict[str, Any]] = []
        self._on_state = on_state
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def kill(self, which: str, signum: int = signal.SIGKILL) -> None:
        """Send a signal to `tap` or `target`; nothing happens if it is gone already."""
        process = {"tap": self.tap, "target": self.target}[which]
        if process.poll() is None:
            process.send_signal(signum)

    def wait(self) -> Ended:
        """Wait for both to end, as Meltano does: a target that is gone takes its tap along."""
        try:
            target = self.target.wait(WAIT_SECONDS)
            if target != 0 and self.tap.poll() is None:
                self.tap.terminate()
            tap = self.tap.wait(WAIT_SECONDS)
        finally:
            self.kill("tap")
            self.kill("target")
        self._reader.join(WAIT_SECONDS)
        logs = [(self.pipeline.folder / name).read_text(errors="replace") for name in ("tap.log", "target.log")]
        return Ended(tap, target, logs[0], logs[1], self.states)

    def _read(self) -> None:
        if self.target.stdout is None:
            return
        for line in self.target.stdout:
            state = json.loads(line)
            self.states.append(state)
            fresh = self.pipeline.state_file.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.replace(self.pipeline.state_file)
            if self._on_state is not None:
                self._on_state(len(self.states))
