"""Jobs that share a loader write its logging configuration while another reads it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest
from singer_sdk import _logging
from sync_rules.singer import log_config

SETTING = "SINGER_SDK_LOG_CONFIG"
WHOLE = json.dumps({"version": 1, "disable_existing_loggers": False})


@pytest.mark.parametrize("begun", ["", WHOLE[:20]], ids=["empty", "half there"])
def test_a_configuration_is_read_when_it_is_whole(begun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "target.singer_sdk_logging.json"
    path.write_text(begun)
    monkeypatch.setenv(SETTING, str(path))

    def finish() -> None:
        time.sleep(0.1)
        path.write_text(WHOLE)

    writing = threading.Thread(target=finish)
    writing.start()
    log_config.settle()
    writing.join()
    path.write_text("")  # the next job begins
    _read_by_the_sdk()


def test_one_that_stays_unfinished_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "target.singer_sdk_logging.json"
    path.write_text("")
    monkeypatch.setenv(SETTING, str(path))
    monkeypatch.setattr(log_config, "_PATIENCE_SECONDS", 0.05)
    log_config.settle()
    assert SETTING not in os.environ
    _read_by_the_sdk()


def test_one_that_is_not_there_is_left_to_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "none.json")
    monkeypatch.setenv(SETTING, missing)
    log_config.settle()
    assert os.environ[SETTING] == missing


def _read_by_the_sdk() -> None:
    root = logging.getLogger()
    level, before = root.level, list(root.handlers)
    try:
        _logging._setup_console_logging()
    finally:
        root.setLevel(level)
        root.handlers[:] = before
