"""The command of a plugin: whatever ends it is told in one line, once, with the exit code of its kind."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import click
from singer_sdk.helpers._compat import SingerSDKPythonEOLWarning
from singer_sdk.plugin_base import SingerCommand

from sync_rules.exits import ConfigurationError, Exit, SyncError, end
from sync_rules.signals import woken_by_signals

_JSON_OPTIONS = ("config", "catalog", "state")
_SOON_SECONDS = 0.001


class Ended(SystemExit):
    """How the process ends.

    The first end is the one that counts, whatever comes after it: who ends a process also stops reading it, and a
    driver that a signal meets while it is loading makes another error of it. It is told once everything is closed, for
    a signal may meet the very writing of the log.
    """

    met: ClassVar[Ended | None] = None
    told: ClassVar[bool] = False

    def __init__(self, code: int, why: str = "", level: int = logging.ERROR) -> None:
        super().__init__(code)
        self.exit_code, self.why, self.level = code, why, level

    @classmethod
    def of(cls, error: Exception | SystemExit) -> Ended:
        """The end that an error makes. What is no SyncError may hold a row's values: only its place is told."""
        if isinstance(error, SystemExit):
            return cls(error.code if isinstance(error.code, int) else int(error.code is not None))
        if isinstance(error, SyncError):
            return cls(int(error.exit), str(error))
        why = f"unexpected {type(error).__name__} in {_place(error)} (PARALELO_DEBUG=1 shows all)"
        return cls(int(Exit.UNEXPECTED), why)


def end_by(ended: Ended) -> None:
    """End the process so, for a signal's handler to call."""
    if Ended.met is None:
        Ended.met = ended
        sys.unraisablehook = _raise_later
        raise ended
    if Ended.told:
        os._exit(Ended.met.exit_code)  # on its way out it may wait for a thread that is stuck


def _raise_later(passed_over: sys.UnraisableHookArgs) -> None:
    """Python passes over what is raised while an object is cleared away, and goes on: then the end is raised anew."""
    if not isinstance(passed_over.exc_value, Ended):
        sys.__unraisablehook__(passed_over)
        return
    signal.signal(signal.SIGALRM, _raise_anew)
    signal.setitimer(signal.ITIMER_REAL, _SOON_SECONDS)


def _raise_anew(_signum: int, _frame: FrameType | None) -> None:
    if Ended.met is not None:
        raise Ended.met


class OneLineErrors(SingerCommand):
    """Ends with the exit code of the error and one line; the traceback only where it is asked for."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command. Discovery and `--test` run while the options are read, so `invoke` would be too late."""
        # The SDK's word on Python 3.10, which this project is for as well, in the log of every run.
        warnings.filterwarnings("ignore", category=SingerSDKPythonEOLWarning)
        try:
            with woken_by_signals():
                return self._first(*args, **kwargs)
        except Ended as ended:  # perhaps while another end was being weighed
            signal.setitimer(signal.ITIMER_REAL, 0)
            if ended.why:
                self.logger.log(ended.level, "%s", ended.why, exc_info=ended.__cause__ if _wants_traceback() else None)
            Ended.told = True
            end(ended.exit_code)

    def _first(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except (Exception, SystemExit) as error:
            if Ended.met is not None:
                raise Ended.met from None
            Ended.met = Ended.of(error)
            raise Ended.met from error


def one_line_errors(command: click.Command, logger: logging.Logger) -> click.Command:
    """The SDK's command, with our errors."""
    for parameter in command.params:
        if parameter.name in _JSON_OPTIONS:
            parameter.callback = _checked(parameter.callback)
    return OneLineErrors(
        name=command.name,
        callback=command.callback,
        context_settings=command.context_settings,
        params=command.params,
        help=command.help,
        logger=logger,
    )


def _checked(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    """The option's callback, once its files are known to be JSON: the SDK's errors name no file."""

    def check(context: click.Context, parameter: click.Parameter, given: Any) -> Any:
        for file in given if isinstance(given, tuple) else (given,):
            name = getattr(file, "name", file)
            if name not in (None, "ENV", "<stdin>"):
                _check_json(f"--{parameter.name} {name}", Path(name))
        return callback(context, parameter, given) if callback else given

    return check


def _check_json(named: str, path: Path) -> None:
    """Raises ConfigurationError, without any of the file's words: it may hold a password."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{named}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{named}: not JSON from line {error.lineno}, column {error.colno} on") from error
    except ValueError as error:
        raise ConfigurationError(f"{named}: not UTF-8") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{named}: not a JSON object")


def _place(error: BaseException) -> str:
    """File and line where the error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _wants_traceback() -> bool:
    return os.environ.get("PARALELO_DEBUG", "") not in ("", "0") or "debug" in (
        os.environ.get("LOGLEVEL", "").lower(),
        os.environ.get("TAP_LOGLEVEL", "").lower(),
    )
