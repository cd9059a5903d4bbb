"""The Meltano project itself, run with a state and a system database of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from paralelo import project
from tests.compare import differences, source_rows, target_rows
from tests.pipeline import BIN
from tests.servers import Servers


class Meltano:
    """A Meltano project in a folder, with a state and a system database of its own."""

    def __init__(self, folder: Path, own: Path, env: Mapping[str, str]) -> None:
        self.folder, self.own = folder, own
        own.mkdir(parents=True, exist_ok=True)
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("TAP_", "TARGET_", "MELTANO_"))
            },
            **env,
            "MELTANO_ENVIRONMENT": "dev",
            "MELTANO_STATE_BACKEND_URI": project.state_uri(own / "state"),
            "MELTANO_DATABASE_URI": f"sqlite:///{own / 'meltano.db'}",
            "NO_COLOR": "1",
        }
        (own / "state").mkdir(exist_ok=True)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "meltano", "--log-level=info", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=800,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The same, under way; what it says goes to `meltano.log`."""
        return subprocess.Popen(
            [BIN / "meltano", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=(self.own / "meltano.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, job: str) -> str:
        """`meltano run JOB`; its log. Fails the test when it fails."""
        ended = self("run", job)
        assert ended.returncode == 0, ended.stderr[-4000:]
        return ended.stdout + ended.stderr


def assert_equal(servers: Servers, table: str) -> int:
    """Both sides hold the same rows; returns how many."""
    with servers.connect_source() as source, servers.connect_target() as target:
        found = source_rows(source, f"dbo.{table}")
        assert not differences(found, target_rows(target, f"public.{table}"))
    return len(found)
