"""The operator's commands: what the files in scripts/ call."""

import os
import sys
from pathlib import Path
from types import TracebackType


def _quietly(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Ctrl-C while a command is still being imported, which takes a second or two, is no error to be traced."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)


def _open_streams() -> None:
    """A stream that was closed (`>&-`), as a service may have it, leads nowhere: to Python it is no stream at all, and
    the next file or connection would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process


sys.excepthook = _quietly
_open_streams()
