"""The operator's commands: what the files in scripts/ call."""

import sys
from types import TracebackType


def _quietly(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Ctrl-C while a command is still being imported, which takes a second or two, is no error to be traced."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)


sys.excepthook = _quietly
