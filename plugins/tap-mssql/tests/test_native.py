"""What is compiled: made once and whole, made anew where it has to be, done without where it cannot be made."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tap_mssql import client, native, odbc_columns

SOURCES = ("columns.c", "ltdl.c")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The sources in a folder of their own; nothing is compiled there, and nothing is remembered of elsewhere."""
    for name in SOURCES:
        (tmp_path / name).write_bytes((native._HERE / name).read_bytes())
    monkeypatch.setattr(native, "_HERE", tmp_path)
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    client._compiled.cache_clear()
    odbc_columns.library.cache_clear()


def driver(caplog: pytest.LogCaptureFixture) -> tuple[str, int]:
    """The driver that is taken, asked for three times, and how often it was said that it is another."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        taken = {client.driver_for({"driver": "msodbcsql"}) for _ in range(3)}
    assert len(taken) == 1
    return taken.pop(), sum("is not compiled" in record.message for record in caplog.records)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in (*SOURCES, native.LIBRARY))


def test_what_is_not_compiled_is_done_without_and_said_once(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert driver(caplog) == ("mssql-python", 1)
    _forget()
    native.build()
    assert left(elsewhere) == [native.columns().name]
    assert driver(caplog) == ("msodbcsql", 0)


def of_another_machine(library: bytes) -> bytes:
    """ELF's e_machine is none of them."""
    return library[:18] + b"\xff\x7f" + library[20:]


@pytest.mark.parametrize("make", [lambda _: b"", lambda _: b"no library", of_another_machine])
@pytest.mark.usefixtures("elsewhere")
def test_what_cannot_be_loaded_is_done_without_and_made_anew(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    native.build()
    compiled = native.columns().read_bytes()
    native.columns().unlink()
    native.columns().write_bytes(make(compiled))
    assert driver(caplog) == ("mssql-python", 1)
    _forget()
    native.build()
    assert driver(caplog) == ("msodbcsql", 0)


def test_a_library_without_its_functions_is_done_without(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    named = native.columns()
    source = (elsewhere / "columns.c").read_text()
    (elsewhere / "columns.c").write_text("int nothing;\n")
    native.build()
    made = native.columns()
    (elsewhere / "columns.c").write_text(source)
    made.rename(named)
    assert driver(caplog) == ("mssql-python", 1)


def test_another_version_of_the_source_is_compiled_and_the_last_one_goes(elsewhere: Path) -> None:
    native.build()
    first = native.columns()
    with (elsewhere / "columns.c").open("a") as source:
        source.write("/* another */\n")
    assert native.columns() != first
    native.build()
    assert left(elsewhere) == [native.columns().name]


def test_compiling_twice_at_once_makes_it_whole(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    native.built("columns-0123456789ab.so").touch()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(native.build) for _ in range(8)]:
            done.result()
    assert left(elsewhere) == [native.columns().name]
    assert driver(caplog) == ("msodbcsql", 0)


@pytest.mark.parametrize("has_ltdl", [True, False])
def test_without_a_compiler_it_says_what_follows(tmp_path: Path, has_ltdl: bool) -> None:
    """The one library can be done without, the other cannot."""
    package = tmp_path / "tap_mssql" / "native"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    for name in ("__init__.py", "__main__.py", *SOURCES):
        (package / name).write_bytes((native._HERE / name).read_bytes())
    if not has_ltdl:
        settings = (package / "__init__.py").read_text()
        assert native.LIBRARY in settings
        (package / "__init__.py").write_text(settings.replace(native.LIBRARY, "a library that no system has"))
    elif not native.present():
        (package / native.LIBRARY).write_bytes(native.built().read_bytes())
    # Another executable's folder: beside ours lies uv, which would fetch a compiler.
    lonely = tmp_path / "python"
    lonely.symlink_to(Path(sys.executable).resolve())
    run = subprocess.run(
        [str(lonely), "-S", "-m", "tap_mssql.native"],
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert run.returncode == (0 if has_ltdl else 1), run.stderr
    assert "no C compiler that works" in run.stderr
    assert ("reads by driver mssql-python" if has_ltdl else "install a compiler") in run.stderr
    assert "Traceback" not in run.stderr
