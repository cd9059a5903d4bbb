"""The short form of `make chaos`, and Meltano itself killed: SPEC F3, F4, F5, F7, A6, A7, A9, I2, O4."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from paralelo import project
from tests.chaos import Chaos
from tests.meltano import Meltano, assert_equal
from tests.servers import Servers

JOB = "parallel-full-sync-resumo-faixas"


@pytest.mark.parametrize("seed", [12, 20], ids=["bi_credores, swap, flag", "resumo_faixas, merge, delete"])
def test_both_sides_are_equal_after_kills(servers: Servers, tmp_path: Path, seed: int) -> None:
    result = Chaos(servers, seed, tmp_path).run(kills=6, rows=600)
    assert not result.failures, f"seed {seed}: {result.failures}"
    assert result.kills.total() >= 6


def test_meltano_is_killed(servers: Servers, tmp_path: Path) -> None:
    """Its plugins outlive it for a moment: the next run starts at once, beside what is left of them."""
    meltano = Meltano(project.root(), tmp_path, servers.sandbox.environment)
    meltano.env |= {"TAP_MSSQL_PAGE_SIZE": "40"}
    saved = 0
    for _ in range(3):
        running = meltano.start("run", "--force", JOB)
        while running.poll() is None and _rows_saved(tmp_path) <= saved:
            time.sleep(0.005)
        running.kill()
        assert running.wait() == -9, (tmp_path / "meltano.log").read_text(encoding="utf-8")
        saved = _rows_saved(tmp_path)
    assert 0 < saved < 2_000
    ended = meltano("run", "--force", JOB)
    log = ended.stdout + ended.stderr
    assert ended.returncode == 0, log[-4000:]
    assert "goes on" in log
    assert_equal(servers, "resumo_faixas")


def _rows_saved(folder: Path) -> int:
    """The rows that Meltano's saved state counts; 0 before there is one, and while it is being written."""
    for file in folder.glob("state/*/state.json"):
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            return 0
        return int(state["completed"]["singer_state"]["bookmarks"]["dbo-resumo_faixas"]["rows"])
    return 0
