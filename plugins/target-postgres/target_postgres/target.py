"""The target: Singer messages in, STATE out once what came before it is committed."""

from __future__ import annotations

import copy
import json
import logging
import signal
import sys
import weakref
from fnmatch import fnmatch
from types import FrameType
from typing import Any, ClassVar

import click
import psycopg
import simplejson
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TargetCapabilities
from singer_sdk.mapper import MAPPER_ALIAS_OPTION, MAPPER_FILTER_OPTION, MAPPER_SOURCE_OPTION, RemoveRecordTransform
from singer_sdk.sinks import Sink
from singer_sdk.target_base import Target
from sync_rules.exits import ConfigurationError, SyncError
from sync_rules.singer import log_config
from sync_rules.singer.command import Ended, end_by, one_line_errors
from sync_rules.singer.settings import from_environment, read_numbers

from target_postgres.errors import LedgerGap, tell
from target_postgres.full import FullLoad
from target_postgres.reader import Reader
from target_postgres.session import Session
from target_postgres.settings import CONFIG_SCHEMA, Settings
from target_postgres.sinks import PostgresSink
from target_postgres.versions import Versions

logger = logging.getLogger("target-postgres")


class TargetPostgres(Target):
    """Loads streams into PostgreSQL: Arrow batches by COPY BINARY, every row once, a table activated whole."""

    name = "target-postgres"
    package_name = "target-postgres"
    config_jsonschema = CONFIG_SCHEMA.to_dict()
    default_sink_class = PostgresSink
    message_reader_class = Reader
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.BATCH,
        PluginCapabilities.STRUCTURED_LOGGING,
        PluginCapabilities.ACTIVATE_VERSION,
        TargetCapabilities.TARGET_SCHEMA,
        TargetCapabilities.HARD_DELETE,
        TargetCapabilities.VALIDATE_RECORDS,
    ]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = Settings.of(self.config)
        self.session = Session(self.settings)
        # Also after an error: a connection that is found open at the end is warned of, below the error's one line.
        weakref.finalize(self, self.session.drop)
        self._versions: dict[str, Versions] = {}
        self._emitted: dict[str, Any] | None = None
        self._gap: tuple[str, LedgerGap] | None = None

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """The SDK's settings, less those that mean nothing here: how rows are loaded follows from the stream."""
        super().append_builtin_config(config_jsonschema)
        for name in ("load_method", "batch_config"):
            config_jsonschema["properties"].pop(name, None)

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805
        return from_environment(cls)  # type: ignore[arg-type]  # mypy takes a classproperty for a method

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """The SDK's check, after numbers that Meltano handed on as text are read."""
        properties = self.config_jsonschema["properties"]
        read_numbers(self._config, properties)
        for name, given in properties.items():
            # The SDK's own words would repeat the value.
            if given.get("secret") and not isinstance(self._config.get(name), str | None):
                raise ConfigValidationError("", errors=[f"{name} is a secret and no text: put it in quotes"])
        return super()._validate_config(raise_errors=raise_errors)

    @property
    def sinks(self) -> list[PostgresSink]:
        """The sinks of all streams met so far."""
        return [sink for sink in self._sinks_active.values() if isinstance(sink, PostgresSink)]

    def versions_of(self, stream: str) -> Versions:
        """The versions of a stream's rows, kept over changes of its SCHEMA."""
        return self._versions.setdefault(stream, Versions())

    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        stream = message_dict.get("stream", "")
        if (message_dict["schema"].get("x-paralelo") or {}).get("sync_mode") == "full":
            self._refuse_filter(stream)
        try:
            for sink in self._sinks_of(stream):
                sink.flush()
            super()._process_schema_message(message_dict)
            for stream_map in self.mapper.stream_maps[stream]:
                self._sink(stream_map.stream_alias).source = stream
        except LedgerGap as error:
            self._gap = (stream, error)
        except psycopg.Error as error:
            raise tell(error, f"stream {stream}") from error
        # A changed SCHEMA made a new sink; the one before it is drained above and has nothing left to do.
        for replaced in self._sinks_to_clear:
            if isinstance(replaced, PostgresSink):
                replaced.finish(whole=False)
        self._sinks_to_clear = []

    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        stream = message_dict.get("stream", "")
        if self._ignored(stream):
            return
        try:
            for sink in self._sinks_of(stream):
                sink.note_version(message_dict.get("version"))
            super()._process_record_message(message_dict)
        except psycopg.Error as error:
            raise tell(error, f"stream {stream}") from error

    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        stream = message_dict.get("stream", "")
        if self._ignored(stream):
            return
        if stream not in self.mapper.stream_maps:
            raise SyncError(f"stream {stream}: a BATCH came before its SCHEMA")
        self._refuse_maps(stream)
        try:
            super()._process_batch_message(message_dict)
        except LedgerGap as error:
            self._gap = (stream, error)
        except psycopg.Error as error:
            raise tell(error, f"stream {stream}") from error

    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        stream = message_dict["stream"]
        if self._ignored(stream):
            return
        bookmark = self._bookmarks().get(stream)
        try:
            for sink in self._sinks_of(stream):
                sink.activate_rows(message_dict["version"], message_dict.get("rows"), bookmark)
        except LedgerGap as error:
            self._gap = (stream, error)
            return
        except psycopg.Error as error:
            raise tell(error, f"stream {stream}") from error
        self._emit()

    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        self._assert_line_requires(message_dict, requires={"value"})
        self._latest_state = message_dict["value"]
        if self._gap is not None:
            self._end_at_gap(*self._gap)
        bookmarks = self._bookmarks()
        try:
            for sink in self.sinks:
                sink.flush_page(bookmarks.get(sink.source))
        except psycopg.Error as error:
            raise tell(error, "a page of records") from error
        except LedgerGap as error:
            self._end_at_gap(sink.source, error)
        self._emit()

    def _handle_max_record_age(self) -> None:
        """Rows of other taps are committed after five minutes at the latest, and STATE with them."""
        if self._max_record_age_in_minutes > self._MAX_RECORD_AGE_IN_MINUTES:
            self._commit_pending()
            self._reset_max_record_age()

    def drain_one(self, sink: Sink) -> None:  # type: ignore[misc]  # noqa: ARG002  # final in the SDK; see below
        """A full sink means that all are committed: only then may the latest STATE go out."""
        self._commit_pending()

    def process_endofpipe(self) -> None:
        """The input ended: commit what is gathered, finish each stream, emit the last STATE."""
        if self._gap is not None:
            self._end_at_gap(*self._gap)
        try:
            for sink in self.sinks:
                left = sink.discard()
                if left:
                    logger.warning(
                        "%s: %s rows of a page that never ended are left to the next run", sink.job.live, left
                    )
            self._commit_pending()
            for sink in self.sinks:
                sink.finish(whole=True)
        except psycopg.Error as error:
            raise tell(error, "the end of the input") from error
        self._emit()
        self.session.close()

    def _commit_pending(self) -> None:
        try:
            for sink in self.sinks:
                sink.flush()
                sink.mark_drained()
        except psycopg.Error as error:
            raise tell(error, f"stream {sink.stream_name}") from error
        self._emit()

    def _sinks_of(self, stream: str) -> list[PostgresSink]:
        """The sinks that this stream of the tap goes to: `stream_maps` may name them otherwise."""
        return [sink for sink in self.sinks if sink.source == stream]

    def _sink(self, stream: str) -> PostgresSink:
        sink = self.get_sink(stream)
        assert isinstance(sink, PostgresSink)
        return sink

    def _refuse_maps(self, stream: str) -> None:
        """The SDK maps records one by one, and batch files never: what was to be masked would be written as it is.

        Another name for the table is no change of its rows. Raises ConfigurationError.
        """
        if any(spec.keys() - {MAPPER_ALIAS_OPTION} for spec in self._map_specs(stream)) or any(
            isinstance(each, RemoveRecordTransform) or each.transformed_schema != each.raw_schema
            for each in self.mapper.stream_maps[stream]
        ):
            raise ConfigurationError(
                f"stream {stream}: stream_maps and flattening do not reach rows that come in batch files: leave columns"
                " out by the extractor's select, change them in a view of the source, or have the rows sent as records"
            )

    def _refuse_filter(self, stream: str) -> None:
        """A full sync takes effect when every row is there that the tap sent. Raises ConfigurationError."""
        if any(MAPPER_FILTER_OPTION in spec for spec in self._map_specs(stream)):
            raise ConfigurationError(
                f"stream {stream}: stream_maps has a __filter__, and a full sync's rows are counted against what the"
                " tap sent: leave rows out in a view of the source"
            )

    def _map_specs(self, stream: str) -> list[dict[str, Any]]:
        """What `stream_maps` says of this stream of the tap."""
        return [
            spec
            for name, spec in self.mapper.stream_maps_dict.items()
            if isinstance(spec, dict) and fnmatch(stream, spec.get(MAPPER_SOURCE_OPTION, name))
        ]

    def _ignored(self, stream: str) -> bool:
        """After a gap only the next STATE matters: it is passed on with the stream's bookmark taken back."""
        return self._gap is not None and self._gap[0] == stream

    def _bookmarks(self) -> dict[str, Any]:
        bookmarks = (self._latest_state or {}).get("bookmarks")
        return bookmarks if isinstance(bookmarks, dict) else {}

    def _emit(self) -> None:
        """Pass the latest STATE on, if everything before it is committed and has taken effect."""
        state = self._latest_state
        if state is None or state == self._emitted or any(sink.pending for sink in self.sinks):
            return
        if self._awaits_activation():
            return
        self._emitted = copy.deepcopy(state)
        self._write_state_message(state)

    def _awaits_activation(self) -> bool:
        """A full sync's `done: true` is held back until its rows are in the live table."""
        bookmarks = self._bookmarks()
        for sink in self.sinks:
            said = bookmarks.get(sink.source)
            if not isinstance(sink.load, FullLoad) or not isinstance(said, dict):
                continue
            this_version = said.get("mode") == "full" and said.get("version") == sink.job.version
            if this_version and said.get("done") and sink.load.sync.status != "activated":
                return True
        return False

    def _write_state_message(self, state: dict[str, Any]) -> None:
        """The SDK's writer knows no decimals, which numbers of a STATE are as all others that are read here."""
        sys.stdout.write(f"{simplejson.dumps(state, use_decimal=True, allow_nan=True)}\n")
        sys.stdout.flush()

    def _end_at_gap(self, stream: str, error: LedgerGap) -> None:
        if self._latest_state is not None:
            state = copy.deepcopy(self._latest_state)
            bookmarks = state.get("bookmarks", {})
            anew = error.back(bookmarks.pop(stream, None))
            if anew is not None:
                bookmarks[stream] = anew
            self._write_state_message(state)
        raise error

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the SDK's
        """End at once. What is committed stays; the rest is rolled back, and read again."""
        why = f"ended by {signal.Signals(signum).name}; what is committed stays, the next run goes on from it"
        end_by(Ended(128 + signum, why))

    @classmethod
    def invoke(cls, **kwargs: Any) -> None:
        """Run, and make one line of whatever is wrong."""
        try:
            super().invoke(**kwargs)
        except ConfigValidationError as error:
            raise ConfigurationError(f"the settings are wrong: {'; '.join(error.errors)}") from error
        except SyncError:
            raise
        except psycopg.Error as error:
            raise tell(error) from error
        except RecursionError as error:  # where depends on the Python: reading a line, or copying what it held
            raise SyncError("a line of the input holds values within values, deeper than can be read") from error
        except BrokenPipeError as error:
            raise SyncError("whoever read the STATE lines is gone") from error
        except Exception as error:
            if not _shows_no_value(error):
                raise  # it is told by its place: a map's error, as all of Python's, may quote what it was given
            raise SyncError(f"unexpected {type(error).__name__}: {_safe(error)}") from error

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with our errors."""
        return one_line_errors(super().get_singer_command(), cls.logger)


def _shows_no_value(error: Exception) -> bool:
    """Whether its words are the SDK's own, or of files and their contents' form."""
    of_files = (OSError, EOFError, ImportError, UnicodeDecodeError, json.JSONDecodeError)
    return type(error).__module__.startswith("singer_sdk") or isinstance(error, of_files)


def _safe(error: Exception) -> str:
    """SDK errors may quote a record: only the SDK's own words about a missing schema or key are shown."""
    text = str(error).splitlines()[0] if str(error) else ""
    return text.split("{")[0][:200]


def main() -> None:
    """The `target-postgres` command."""
    log_config.settle()  # all jobs at once share this loader
    TargetPostgres.cli()
