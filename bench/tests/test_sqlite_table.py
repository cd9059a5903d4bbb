"""The SQLite bench: its file, and a contender that is not there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench import sqlite_table
from stores.settings import DatabaseSettings


def test_the_file_has_the_rows_asked_for(tmp_path: Path) -> None:
    path = sqlite_table.source(tmp_path, 1_000)
    assert sqlite_table.source(tmp_path, 1_000) == path, "it is made once"
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*), max(id), min(note), max(typeof(note)) FROM readings").fetchone() == (
            1_000, 1_000, "note 1", "text",
        )  # fmt: skip


def test_a_contender_that_is_not_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_table.shutil, "which", lambda _: None)
    with pytest.raises(sqlite_table.CannotRun, match="apt-get install pgloader"):
        sqlite_table.pgloader(tmp_path / "a.db", DatabaseSettings(), tmp_path)
