"""The short form of `make chaos`: SPEC F3, F4, F5, F7, A6, A7, A9, I2, O4."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import Chaos
from tests.servers import Servers


@pytest.mark.parametrize("seed", [12, 20], ids=["bi_credores, swap, flag", "resumo_faixas, merge, delete"])
def test_both_sides_are_equal_after_kills(servers: Servers, tmp_path: Path, seed: int) -> None:
    result = Chaos(servers, seed, tmp_path).run(kills=6, rows=600)
    assert not result.failures, f"seed {seed}: {result.failures}"
    assert result.kills.total() >= 6
