"""The commands beside this module run in the project's environment, whichever Python they are started with."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ENVIRONMENT = PROJECT / ".venv"


def enter() -> None:
    """Start the command again with the project's Python, where this one does not know the project."""
    found = find_spec("paralelo")
    # A copy of the project's folder has an environment that leads to the other one, its settings and its tables.
    if found is not None and found.origin is not None and Path(found.origin).resolve().is_relative_to(PROJECT):
        import_module("paralelo.cli")  # first, for Ctrl-C: what follows takes a second or two
        return
    python = ENVIRONMENT / "bin" / "python"
    if python.exists() and Path(sys.prefix) != ENVIRONMENT:
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - the same command, word by word
    sys.stderr.write(f"{Path(sys.argv[0]).name}: there is no .venv, or it is not this folder's; run: make setup\n")
    sys.exit(2)


enter()
