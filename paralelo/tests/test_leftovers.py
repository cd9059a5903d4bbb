"""What dead runs left behind is told apart from what living ones use."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from paralelo import jobs, leftovers, usage


def test_a_scratch_folder_belongs_to_a_process_and_not_to_whoever_has_its_number_now(tmp_path: Path) -> None:
    began = int(usage.began(psutil.Process()))
    _, _, boot = jobs.owner().split("-")
    names = {
        "mine": f"{jobs.owner()}-aaaa",
        "earlier": f"{os.getpid()}-{began + 3_600}-{boot}-bbbb",
        "first": f"1-1000-{boot}-cccc",
        "of the last start": f"{os.getpid()}-{began}-0000aaaa-dddd",
    }
    for name in names.values():
        (tmp_path / jobs.SCRATCH / name).mkdir(parents=True)
    leftovers.remove(tmp_path)
    assert [path.name for path in (tmp_path / jobs.SCRATCH).iterdir()] == [names["mine"]]
