"""What Microsoft's driver needs from the system, where the system lacks it.

The driver in mssql-python's wheel is linked with libltdl, which a minimal Linux does not have and only root can
install. Where it is missing, `python -m tap_mssql.native` (part of `make setup`) compiles a small library of that name
beside this file, and `ready()` loads it before the driver looks for it: the loader goes by the library's name.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARY = "libltdl.so.7"
_HERE = Path(__file__).resolve().parent
_COMPILERS = ("cc", "gcc", "clang")
_held: list[ctypes.CDLL] = []


def present() -> bool:
    """Whether the system has the library."""
    return _loads(LIBRARY)


def needed() -> bool:
    """Whether the driver needs the compiled library, and finds it made."""
    return built().exists() and (bool(_held) or not present())


def ready() -> None:
    """Call before the driver is loaded. Without the library nothing is done here: the driver's own error says so."""
    if not _held and needed():
        _held.append(ctypes.CDLL(str(built()), mode=ctypes.RTLD_GLOBAL))


def built() -> Path:
    """Where the compiled library goes; not part of the repository."""
    return _HERE / LIBRARY


def build() -> None:
    """Compile the library with the system's C compiler, or with the one that the `ziglang` package carries.

    Raises subprocess.CalledProcessError, its output shown, where neither can.
    """
    source, draft = _HERE / "ltdl.c", built().with_suffix(".new")
    options = ["-shared", "-fPIC", "-O2", f"-Wl,-soname,{LIBRARY}", str(source), "-o", str(draft)]
    subprocess.run([*_compiler(), *options, "-ldl"], check=True)
    draft.replace(built())


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
