"""How a run is shown: where lines are drawn over, and where they are not."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.table import Table as Grid

from paralelo.live import PLAIN_WIDTH, can_redraw, terminal_console, wrapped


def test_colours_that_are_forced_into_a_file_make_no_terminal_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    console = terminal_console()
    assert not can_redraw(console)
    assert console.width == PLAIN_WIDTH


@pytest.mark.parametrize("width", [0, 1, 14])
def test_text_is_wrapped_for_a_terminal_that_has_no_size_yet(width: int) -> None:
    text = wrapped(Console(width=width), "a check: all of it is well", initial_indent="  ", subsequent_indent=" " * 14)
    assert text.split() == ["a", "check:", "all", "of", "it", "is", "well"]


def test_a_terminal_that_says_it_has_no_columns_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paralelo.live._on_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", "0")
    assert terminal_console().width == PLAIN_WIDTH
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal_console().width == 40


@pytest.mark.parametrize("name", ["peso [kg]", "preco [/un]", "fd00:a:b::1"])
def test_what_rich_takes_for_markup_or_a_picture_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    grid = Grid(name)
    grid.add_row(name)
    terminal_console().print(grid, name)
    assert capsys.readouterr().out.count(name) == 3
