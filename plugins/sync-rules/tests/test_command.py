"""How a plugin ends: one line, one code, whatever signals come and when."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click
import pytest
from sync_rules.exits import ConfigurationError
from sync_rules.singer.command import Ended, end_by, one_line_errors

from tests.loaded import SERVER

KILLED = f"ended by {signal.SIGTERM}"


class Interrupted(logging.StreamHandler):  # type: ignore[type-arg]  # a stream of text
    """Is sent signals before and after it wrote a line."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(sys.stdout)
        self.before, self.after = before, after

    def emit(self, record: logging.LogRecord) -> None:
        signals(self.before)
        super().emit(record)
        signals(self.after)


def signals(count: int) -> None:
    for _ in range(count):
        os.kill(os.getpid(), signal.SIGTERM)


def plugin(output: Path, program: Callable[[], None], before: int, after: int) -> None:
    """A plugin's process; its output goes to the file."""
    sys.stdout = output.open("w")
    logger = logging.Logger("plugin")
    logger.addHandler(Interrupted(before, after))
    signal.signal(signal.SIGTERM, lambda signum, _: end_by(Ended(128 + signum, KILLED)))
    one_line_errors(click.Command("plugin", callback=program), logger).main([])


def succeeds() -> None:
    signals(0)


def is_refused() -> None:
    raise ConfigurationError("the settings are wrong")


def breaks() -> None:
    raise ValueError("a row's value")


def leaves_with_words() -> None:
    sys.exit("a row's value")


def is_killed() -> None:
    signals(3)


def makes_something_else_of_it() -> None:
    try:
        signals(1)
    except SystemExit as error:
        raise ValueError("a driver's") from error


class ClearedAway:
    """Python passes over what is raised in here."""

    def __del__(self) -> None:
        signals(1)


def clears_something_away() -> None:
    ClearedAway()
    ClearedAway()
    while True:
        signal.pause()


def ends_twice() -> None:
    try:
        signals(1)
    finally:
        signals(1)
        raise ConfigurationError("the settings are wrong")


@pytest.mark.parametrize(
    ("program", "said", "code"),
    [
        (succeeds, "", 0),
        (is_refused, "the settings are wrong\n", 2),
        (breaks, "unexpected ValueError in test_command.py:", 1),
        (leaves_with_words, "", 1),
        (is_killed, f"{KILLED}\n", 143),
        (makes_something_else_of_it, f"{KILLED}\n", 143),
        (clears_something_away, f"{KILLED}\n", 143),
        (ends_twice, f"{KILLED}\n", 143),
    ],
)
@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 1), (1, 0), (2, 2)])
def test_the_first_end_is_told_once(
    tmp_path: Path, program: Callable[[], None], said: str, code: int, before: int, after: int
) -> None:
    output = tmp_path / "output"
    process = SERVER.Process(target=plugin, args=(output, program, before, after))
    process.start()
    process.join(60)
    assert process.exitcode == code
    told = output.read_text()
    assert told.startswith(said)
    assert told.count("\n") == (said != "")
    assert "a row's value" not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b'{"password":\n "hidden}', "not JSON from line 2, column 2 on"),
        (b'{"password": "hidden\xff"}', "not UTF-8"),
        (b'["hidden"]', "not a JSON object"),
        (b'{"password": "hidden"}', ""),
    ],
)
@pytest.mark.parametrize("option", ["config", "catalog"])
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, option: str, content: bytes | None, told: str) -> None:
    file = tmp_path / "given.json"
    if content is not None:
        file.write_bytes(content)
    params: list[click.Parameter] = [click.Option(["--config"], multiple=True), click.Option(["--catalog"])]
    command = one_line_errors(click.Command("plugin", params=params), logging.Logger("plugin"))
    with pytest.raises(ConfigurationError, match=told) if told else nullcontext() as found:
        command.make_context("plugin", [f"--{option}", str(file)])
    assert not told or str(found.value) == f"--{option} {file}: {told}"  # type: ignore[union-attr]
