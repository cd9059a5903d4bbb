"""What is compiled on the machine it runs on: `python -m tap_mssql.native`, a part of `make setup`.

`columns.c` makes Arrow's buffers of the columns that ODBC Driver 18 fills. `ltdl.c` stands for libltdl, which that
driver is linked with, which a minimal Linux does not have and only root can install: where it is missing, `ready()`
loads the compiled one before the driver looks for it, for the loader goes by the library's name.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

LIBRARY = "libltdl.so.7"
_HERE = Path(__file__).resolve().parent
_COMPILERS = ("cc", "gcc", "clang")
_held: list[ctypes.CDLL] = []


def present() -> bool:
    """Whether the system has libltdl."""
    return _loads(LIBRARY)


def needed() -> bool:
    """Whether the driver needs the compiled libltdl, and finds it made."""
    return built().exists() and (bool(_held) or not present())


def ready() -> None:
    """Call before the driver is loaded. Without the library nothing is done here: the driver's own error says so."""
    if not _held and needed():
        _held.append(ctypes.CDLL(str(built()), mode=ctypes.RTLD_GLOBAL))


def built(name: str = LIBRARY) -> Path:
    """Where a compiled library goes; not part of the repository."""
    return _HERE / name


def columns() -> Path:
    """Where the compiled `columns.c` is, if it is: what was compiled of another version of it has another name."""
    return built(f"columns-{hashlib.sha256((_HERE / 'columns.c').read_bytes()).hexdigest()[:12]}.so")


def build() -> None:
    """Compile what is not there yet, or was compiled for another machine.

    By the system's C compiler or by the one that the `ziglang` package carries. Raises OSError, or
    subprocess.CalledProcessError, its output shown, where neither can.
    """
    if not present() and not _loads(str(built())):
        _compile("ltdl.c", LIBRARY, "-ldl")
    if not _loads(str(columns())):
        _compile("columns.c", columns().name)
    for old in _HERE.glob("columns-*.so"):
        if old != columns():
            old.unlink(missing_ok=True)


def _compile(source: str, name: str, *libraries: str) -> None:
    """Into a file of its own first: whoever loads it meanwhile, or compiles it, finds a whole one or none."""
    with TemporaryDirectory(dir=_HERE) as folder:
        draft = Path(folder) / name
        options = ["-shared", "-fPIC", "-O3", f"-Wl,-soname,{name}", str(_HERE / source), "-o", str(draft)]
        subprocess.run([*_compiler(), *options, *libraries], check=True)
        draft.replace(built(name))


def _compiler() -> list[str]:
    for name in _COMPILERS:
        found = shutil.which(name)
        if found:
            return [found]
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([str(uv), "pip", "install", "--quiet", "--python", sys.executable, "ziglang==0.17.0"], check=True)
    return [sys.executable, "-m", "ziglang", "cc"]


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
