"""The folder of batch files: complete files, back-pressure, what the dead left behind (SPEC O4)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from sync_rules.batch_files import LOCK_NAME, PREFIX, BatchFolder, remove_dead
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import ConfigurationError, Stalled

SCHEMA = pa.schema([pa.field("k", pa.int64(), nullable=False)])
INFO = BatchInfo(stream="s", mode="full", batch=1, rows=2, version=7, after=None, through=(1, "x"))


def batches() -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"k": [2, 1]}, schema=SCHEMA)]


def folder(root: Path, max_ahead: int = 3, sleep: Callable[[float], None] = lambda _: None) -> BatchFolder:
    """A folder whose clock runs one second a look, so that no test waits."""
    ticks = iter(range(10**6))
    return BatchFolder(root, max_ahead=max_ahead, patience_seconds=5, sleep=sleep, clock=lambda: float(next(ticks)))


def test_a_file_holds_its_rows_and_says_which(tmp_path: Path) -> None:
    held = folder(tmp_path)
    address = held.write(batches(), SCHEMA, INFO)
    path = Path(address.removeprefix("file://"))
    with pa.ipc.open_file(str(path)) as reader:
        assert BatchInfo.read_from(reader.schema) == INFO
        assert reader.read_all().to_pydict() == {"k": [2, 1]}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.unlink()
    held.close()
    assert not path.parent.exists()


def test_the_tap_waits_while_too_many_files_are_there(tmp_path: Path) -> None:
    held = folder(tmp_path, max_ahead=2)
    held.write(batches(), SCHEMA, INFO)
    held.write(batches(), SCHEMA, INFO)
    with pytest.raises(Stalled, match="took no batch file for 5 s; 2 wait"):
        held.write(batches(), SCHEMA, INFO)
    held.close(discard=True)


def test_the_end_waits_for_the_target_to_take_the_last_file(tmp_path: Path) -> None:
    held = folder(tmp_path)
    held.write(batches(), SCHEMA, INFO)
    with pytest.raises(Stalled):
        held.close()


def test_a_target_that_is_slow_is_waited_for_as_long_as_it_takes_files(tmp_path: Path) -> None:
    looks = 0

    def take_one_now_and_then(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks % 3 == 0:
            min(held.path.glob("*.arrow")).unlink()

    held = folder(tmp_path, sleep=take_one_now_and_then)
    for _ in range(3):
        held.write(batches(), SCHEMA, INFO)
    held.close()
    assert looks == 9


def test_what_the_dead_left_goes_and_what_lives_stays(tmp_path: Path) -> None:
    dead = folder(tmp_path)
    dead.write(batches(), SCHEMA, INFO)
    dead.close(discard=True)
    alive = folder(tmp_path)
    alive.write(batches(), SCHEMA, INFO)
    assert not dead.path.exists()
    assert remove_dead(tmp_path) == 0
    assert len(list(alive.path.glob("*.arrow"))) == 1
    alive.close(discard=True)
    assert remove_dead(tmp_path) == 1


def test_links_of_others_are_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / f"{PREFIX}link").symlink_to(elsewhere)
    made = root / f"{PREFIX}made"
    made.mkdir()
    (made / LOCK_NAME).symlink_to(elsewhere / "file")
    assert remove_dead(root) == 0
    assert not list(elsewhere.iterdir())


def test_a_root_that_cannot_be_made_is_a_setting_to_correct(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="no folder for batch files"):
        folder(tmp_path / "file" / "below")


def test_a_full_disk_is_told_and_no_half_file_stays(tmp_path: Path) -> None:
    held = folder(tmp_path)
    (held.path / "000001.arrow").symlink_to("/dev/full")
    with pytest.raises(ConfigurationError, match="the disk is full"):
        held.write(batches(), SCHEMA, INFO)
    assert [path.name for path in held.path.iterdir()] == [LOCK_NAME]
    held.close()


def test_metadata_of_others_is_no_error_and_garbage_is() -> None:
    assert BatchInfo.read_from(SCHEMA) is None
    with pytest.raises(ValueError, match="cannot be read"):
        BatchInfo.read_from(SCHEMA.with_metadata({b"paralelo": b"[]"}))
