"""A singer-sdk tap whose streams are paged: its exit codes, its one-line errors, its settings check."""

from __future__ import annotations

import copy
import logging
import os
import signal
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import SingerCommand

from sync_rules.exits import Exit, SyncError, end, end_at_once
from sync_rules.singer.messages import UNREAD, Lines
from sync_rules.singer.settings import check, from_environment, refuse

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk import Stream


class Ended(SystemExit):
    """A signal ends the process. It is told after that: what the signal met may itself have been writing the log.

    `met` is the first of the process: what it met may also make another error of it, as a driver does that is loading.
    """

    met: ClassVar[Ended | None] = None

    def __init__(self, code: int, level: int, why: str) -> None:
        super().__init__(code)
        self.level, self.why = level, why


class OneLineErrors(SingerCommand):
    """Ends with the exit code of the error and one line; the traceback only where it is asked for."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command. Discovery and `--test` run while the options are read, so `invoke` would be too late."""
        try:
            return self._told(*args, **kwargs)
        except Ended as ended:  # perhaps while another end was being told
            self.logger.log(ended.level, "%s", ended.why)
            end(int(ended.code or 0))

    def _told(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except (Exception, SystemExit) as error:
            if Ended.met is not None:
                raise Ended.met from None
            if isinstance(error, SystemExit):
                end(error.code if isinstance(error.code, int) else int(error.code is not None))
            if isinstance(error, SyncError):
                self.logger.error("%s", error, exc_info=_wants_traceback())  # noqa: TRY400
                end(int(error.exit))
            # Its text may hold a row's values: only the place is told.
            self.logger.error(  # noqa: TRY400
                "unexpected %s in %s (PARALELO_DEBUG=1 shows all)",
                type(error).__name__,
                _place(error),
                exc_info=_wants_traceback(),
            )
            end(int(Exit.UNEXPECTED))


def _place(error: BaseException) -> str:
    """File and line where the error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _wants_traceback() -> bool:
    return os.environ.get("PARALELO_DEBUG", "") not in ("", "0") or "debug" in (
        os.environ.get("LOGLEVEL", "").lower(),
        os.environ.get("TAP_LOGLEVEL", "").lower(),
    )


class PagedTap(Tap):
    """A tap over `PagedStream`s."""

    dynamic_catalog = True
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.BATCH,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    _lines: Lines | None = None
    _watches = False
    _unread = False

    @property
    def lines(self) -> Lines:
        """Where every message of this tap goes out."""
        if self._lines is None:
            self._lines = Lines(self.message_writer)
        return self._lines

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the state over as it is.

        The SDK would send it back at the start of a sync. A `done: true` of the version before would then stand before
        this version's SCHEMA, and no activation would ever follow it.
        """
        super().load_state(state)
        self._remember_state()

    @property
    def streams(self) -> dict[str, Stream]:
        """The SDK's, which every sync asks for first. From then on the tap ends when nobody reads it any more.

        Whatever it waits for then, a slow query or a file to be taken, it would else keep its connections until that
        comes, long after a Meltano that was killed.
        """
        if not self._watches:
            self._watches = True
            self.lines.watch_reader(self._end_unread)
        return super().streams

    def _end_unread(self) -> None:
        self._unread = True
        # The main thread's own: a signal that another thread takes would not wake it.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def send_state(self) -> None:
        """Write a STATE with everything the state holds. The SDK's own writer need not repeat it at the end."""
        self.lines.state(dict(self.state))
        self._remember_state()

    def _remember_state(self) -> None:
        self._state_writer._last_emitted_state = copy.deepcopy(self.state)

    def problems(self, config: dict[str, Any]) -> list[str]:  # noqa: ARG002
        """What this tap finds wrong in its settings beyond their schema, one sentence each."""
        return []

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Nothing: the SDK would offer stream maps and flattening whatever the capabilities, and rows that go out as
        Arrow files never meet them. A setting that would be passed over in silence is refused."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        return from_environment(cls)  # type: ignore[arg-type]  # mypy takes a classproperty for a method

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """The SDK's check, with a sentence for each problem, no secrets in them, and our own exit code."""
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        errors = check(self._config, schema, self.name)
        if not errors:
            errors = self.problems(self._config)
        if raise_errors:
            refuse(errors)
        return errors

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End at once and say so by the exit code.

        The SDK would write the state, which may be ahead of what was handed over, and exit with 0. A driver in which
        another thread still waits must not be torn down below it: it would crash, and the code would tell of that.
        """

        def stop() -> None:
            if Ended.met is not None:
                return  # whoever ends a tap also stops reading it
            end_at_once()
            if self._unread:
                Ended.met = Ended(Exit.TARGET_UNREACHABLE, logging.ERROR, UNREAD)
            else:
                why = f"ended by signal {signum}; the state sent so far holds"
                Ended.met = Ended(128 + signum, logging.WARNING, why)
            raise Ended.met

        self.lines.terminate(stop)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our errors."""
        command = super().get_singer_command()
        return OneLineErrors(
            name=command.name,
            callback=command.callback,
            context_settings=command.context_settings,
            params=command.params,
            help=command.help,
            logger=cls.logger,
        )
