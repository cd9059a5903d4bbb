"""State files are whole whatever happens while one is written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from meltano.core.state_store import MeltanoState, StateBackend
from sync_rules.exits import ConfigurationError, Exit

from paralelo import project, states
from paralelo.outcomes import judge
from paralelo.state_files import AtomicFileStateStoreManager, DamagedState

from .conftest import Toy

STATE_ID = "dev:tap-mssql-full-things-to-target-postgres"


def opened(folder: Path) -> AtomicFileStateStoreManager:
    """As Meltano opens it: by the scheme of the address."""
    uri = project.state_uri(folder)
    made = StateBackend.get_manager_factory(scheme=uri.partition(":")[0])(uri=uri, lock_timeout_seconds=10)
    assert isinstance(made, AtomicFileStateStoreManager)
    return made


def state(rows: int) -> MeltanoState:
    return MeltanoState(state_id=STATE_ID, completed_state={"singer_state": {"rows": rows, "text": "é" * 20_000}})


def test_a_state_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine that loses its power could keep the name and lose what it names."""
    done: list[int] = []
    synced, replaced = os.fsync, Path.replace

    def sync(file: int) -> None:
        synced(file)
        done.append(os.fstat(file).st_size)

    def replace(self: Path, target: Path) -> Path:
        assert done[-1:] == [self.stat().st_size]
        return replaced(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    store = opened(tmp_path)
    with store.acquire_lock(STATE_ID, retry_seconds=1):
        store.set(state(1))
    assert len(done) > 0


def test_a_lock_that_a_dead_run_left_before_the_clock_was_put_back_holds_nobody_up(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with store.acquire_lock(STATE_ID, retry_seconds=1):
        assert store.is_locked(STATE_ID)
        Path(store.get_lock_path(STATE_ID)).write_text(str(time.time() + 3_600))
        assert not store.is_locked(STATE_ID)
        Path(store.get_lock_path(STATE_ID)).write_text(str(time.time() + 5))
        assert store.is_locked(STATE_ID), "of a machine whose clock is a little ahead"


@pytest.mark.parametrize("name", ["state", "a folder", "a#b?c", "[ação]"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    store = opened(tmp_path / name)
    assert store.get(STATE_ID) is None
    for rows in (1, 2):
        with store.acquire_lock(STATE_ID, retry_seconds=1):
            store.set(state(rows))
        assert store.get(STATE_ID) == state(rows)
    (folder,) = (tmp_path / name).iterdir()
    assert [file.name for file in folder.iterdir()] == ["state.json"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    store.delete(STATE_ID)
    assert store.get(STATE_ID) is None


def _no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def _killed(store: AtomicFileStateStoreManager) -> None:
    with store.get_writer(store.get_state_path(STATE_ID)) as writer:
        writer.write('{"completed": ')
        writer.flush()
        os.kill(os.getpid(), 9)


def _full(store: AtomicFileStateStoreManager) -> None:
    _no_room()
    with pytest.raises(OSError, match="File too large"):
        store.set(state(2))


@pytest.mark.parametrize(("ends", "code"), [(_killed, -9), (_full, 0)])
def test_a_write_that_fails_leaves_the_state_before(
    tmp_path: Path, ends: Callable[[AtomicFileStateStoreManager], None], code: int
) -> None:
    store = opened(tmp_path)
    with store.acquire_lock(STATE_ID, retry_seconds=1):
        store.set(state(1))
    told = (
        "from pathlib import Path; from paralelo.tests import test_state_files as t; "
        f"t.{ends.__name__}(t.opened(Path({str(tmp_path)!r})))"
    )
    ended = subprocess.run([sys.executable, "-c", told], cwd=project.root(), check=False)
    assert ended.returncode == code
    assert store.get(STATE_ID) == state(1)
    store.set(state(3))
    assert store.get(STATE_ID) == state(3)


@pytest.mark.parametrize("text", [b"", b'{"completed": {"singer_st', b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_named_and_is_not_taken_for_none(tmp_path: Path, text: bytes) -> None:
    """Nor is it read again three times: a recovery would pause for half an hour over it."""
    store = opened(tmp_path)
    with store.acquire_lock(STATE_ID, retry_seconds=1):
        store.set(state(1))
    file = tmp_path / STATE_ID / "state.json"
    file.write_bytes(text)
    with pytest.raises(DamagedState, match=r"state\.json is damaged and holds no state") as raised:
        store.get(STATE_ID)
    line = {"level": "error", "event": str(raised.value), "source": "meltano"}
    assert judge(1, [line]).exit is Exit.CONFIGURATION
    assert file.read_bytes() == text


def test_a_state_that_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    """Meltano tells an error's first argument, which of the system's is a number."""
    (tmp_path / STATE_ID / "state.json").mkdir(parents=True)
    with pytest.raises(OSError, match=r"state\.json cannot be read: Is a directory") as raised:
        opened(tmp_path).get(STATE_ID)
    assert raised.value.args[0] == str(raised.value)


def test_a_damaged_state_is_told_whole_by_whoever_asks_for_bookmarks(toy: Toy) -> None:
    file = toy.root / "state" / STATE_ID / "state.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"completed": {"sin', encoding="utf-8")
    more = {"MELTANO_STATE_BACKEND_URI": f"atomic-file://{toy.root}/state"}
    with pytest.raises(ConfigurationError) as told:
        states.bookmarks([STATE_ID], toy.root, {**toy.env, **more})
    assert f"{file} is damaged" in str(told.value)
    assert str(told.value).endswith("an incremental one where the last full sync began")
