"""A singer-sdk tap whose streams are paged: its state, its settings check, what a signal does to it."""

from __future__ import annotations

import copy
import logging
import signal
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Tap
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TapCapabilities

from sync_rules.exits import Exit
from sync_rules.singer.command import Ended, end_by, one_line_errors
from sync_rules.singer.messages import UNREAD, Lines
from sync_rules.singer.settings import check, from_environment, refuse

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk import Stream


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

    @property
    def catalog_dict(self) -> dict[str, Any]:
        """The SDK's catalog, with the column types that its schema object would drop."""
        catalog: dict[str, Any] = super().catalog_dict
        for entry in catalog["streams"]:
            properties = self.streams[entry["tap_stream_id"]].schema["properties"]
            for name, described in entry["schema"]["properties"].items():
                if name in properties:
                    described["x-column-type"] = properties[name].get("x-column-type")
        return catalog

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

        The SDK would write the state, which may be ahead of what was handed over, and exit with 0.
        """

        def stop() -> None:
            if self._unread:
                end_by(Ended(Exit.TARGET_UNREACHABLE, UNREAD))
            else:
                why = f"ended by signal {signum}; the state sent so far holds"
                end_by(Ended(128 + signum, why, logging.WARNING))

        if self._lines is None:  # the SDK listens before it has a writer, and no line is being written then
            stop()
        else:
            self._lines.terminate(stop)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our errors."""
        return one_line_errors(super().get_singer_command(), cls.logger)
