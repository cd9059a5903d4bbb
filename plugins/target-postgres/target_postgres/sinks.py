"""The SDK's sink for one stream: it gathers rows and hands them to a full or a direct load."""

from __future__ import annotations

import decimal
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from jsonschema import ValidationError
from singer_sdk.exceptions import InvalidRecord, MissingKeyPropertiesError
from singer_sdk.helpers._batch import BaseBatchFileEncoding
from singer_sdk.sinks import BatchSink
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import ConfigurationError, DataRefused, SyncError

from target_postgres import batch_files, encode
from target_postgres.activation.activate import activate
from target_postgres.direct import DirectLoad
from target_postgres.encode import Frame
from target_postgres.full import FullLoad
from target_postgres.job import job_of
from target_postgres.records import RecordBuffer
from target_postgres.summary import Summary
from target_postgres.versions import COLUMN

if TYPE_CHECKING:
    from target_postgres.target import TargetPostgres

logger = logging.getLogger("target-postgres")
SHOWN = 10
NUMERIC = decimal.Context(prec=encode.NUMERIC_DIGITS)


class NoKey(DataRefused, MissingKeyPropertiesError):
    """The SDK's error, with the exit code of its kind."""


class PostgresSink(BatchSink):
    """One stream on its way into one table."""

    target: TargetPostgres

    def __init__(
        self, target: TargetPostgres, stream_name: str, schema: dict[str, Any], key_properties: Sequence[str] | None
    ) -> None:
        self._ours = "x-paralelo" in schema
        super().__init__(target, stream_name, schema, key_properties)
        self.target = target
        self.source = stream_name
        """The stream's name at the tap, by which STATE knows it: `stream_name` may be another, by `stream_maps`."""
        self.job = job_of(stream_name, self.schema, self.key_properties, target.settings)
        connection = target.session.use(self.job)
        self.load: FullLoad | DirectLoad = (
            FullLoad(connection, self.job) if self.job.mode == "full" else DirectLoad(connection, self.job)
        )
        self._connection = connection
        self._buffer = RecordBuffer(self.job, self.load.types)
        self._versions = target.versions_of(stream_name).follow(connection, self.load)
        self.summary = Summary(self.job)

    @property
    def validate_schema(self) -> bool:
        """Our taps send what their types say; others are validated unless `validate_records` is off."""
        return not self._ours and bool(self.config.get("validate_records", True))

    @property
    def include_sdc_metadata_properties(self) -> bool:
        """Metadata columns are for taps that are not ours: a BATCH has none."""
        return not self._ours and super().include_sdc_metadata_properties

    def _remove_sdc_metadata_from_schema(self) -> None:
        """Columns that a tap has in its SCHEMA are its rows', whatever they are called; a version is ours to note."""
        if not self._ours:
            self.schema["properties"].pop(COLUMN, None)

    def _remove_sdc_metadata_from_record(self, record: dict[str, Any]) -> None:
        """As in the schema."""
        if not self._ours:
            record.pop(COLUMN, None)

    def _singer_validate_message(self, record: dict[str, Any]) -> None:
        """A record that lacks a part of its key is a reject, as one is with NULL there.

        Raises NoKey where there may be none.
        """
        if self.job.rules.max_rejects:
            return
        try:
            super()._singer_validate_message(record)
        except MissingKeyPropertiesError:
            raise NoKey(f"{self.job.live}: a record lacks a part of its key ({', '.join(self.job.key)})") from None

    def _validate_and_parse(self, record: dict[str, Any]) -> dict[str, Any]:
        """As the SDK does, without the log entry that shows the whole record.

        Times stay the text they are: PostgreSQL reads every digit of them, Python's datetime does not.
        """
        if self._validator is not None:
            try:
                # `multipleOf` divides, by Python's decimals.
                with decimal.localcontext(NUMERIC):
                    self._validator.validate(record)
            except InvalidRecord as error:
                raise DataRefused(f"{self.job.live}: a record does not fit its schema: {_misfit(error)}") from None
            except (ArithmeticError, TypeError):
                raise DataRefused(
                    f"{self.job.live}: a record has a number that its schema's multipleOf cannot be applied to"
                ) from None
        return record

    @property
    def pending(self) -> int:
        """Rows gathered and not yet committed."""
        return self._buffer.rows

    @property
    def is_full(self) -> bool:
        """A page of a full sync of ours is whole when its STATE comes; others are full at `batch_size_rows`, or
        sooner where rows are large."""
        return self.job.mode != "full" and (self._buffer.rows >= self.max_size or self._buffer.is_large)

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:  # noqa: ARG002  # the SDK's
        """Gather one record."""
        self._buffer.add(record)

    def note_version(self, version: int | None) -> None:
        """A RECORD of a tap that is not ours may carry its table's version."""
        if version is not None and not self._ours and self.process_activate_version_messages:
            if self._versions.differs(version):
                self.flush()
            self._versions.note(version)

    def process_batch(self, context: dict[str, Any]) -> None:  # noqa: ARG002  # the SDK's signature
        """Commit what is gathered."""
        self.flush()

    def flush(self) -> None:
        """Commit the gathered rows of a direct load. A page of a full sync waits for its STATE."""
        if isinstance(self.load, FullLoad) or not self._buffer.rows:
            return
        self.load.take(self._versions.stamp(self._buffer.drain()))

    def flush_page(self, bookmark: Mapping[str, Any] | None) -> None:
        """Commit a page of RECORD lines of a tap of ours, which this STATE ends."""
        if self.job.mode == "incremental":
            self.flush()
        if not isinstance(self.load, FullLoad) or not self._buffer.rows:
            return
        state = FullBookmark.from_state(bookmark)
        if state is None or state.version != self.job.version:
            raise SyncError(f"{self.job.live}: a page of records was not followed by its own STATE")
        info = self.load.expected_batch(state.batches, self._buffer.rows, state.last_key)
        self.load.take(info, self._buffer.drain())

    def discard(self) -> int:
        """Forget rows whose page never ended: they will be read again. Returns how many."""
        left = self._buffer.rows
        if left and isinstance(self.load, FullLoad):
            self._buffer.drain()
            return left
        return 0

    def process_batch_files(self, encoding: BaseBatchFileEncoding, files: Sequence[str]) -> None:
        """Load batch files. An Arrow file is deleted once its rows are committed."""
        self.flush()
        for address in files:
            if encoding.format == "arrow":
                self._load_arrow(address)
            elif encoding.format == "parquet":
                self._load_table(batch_files.parquet(address))
            elif encoding.format == "jsonl":
                self._load_lines(address, encoding.compression)
            else:
                raise ConfigurationError(
                    f"{self.job.live}: batches in the format {encoding.format!r} cannot be read;"
                    " arrow, parquet and jsonl can be"
                )

    def _load_arrow(self, address: str) -> None:
        path = batch_files.path_of(address)
        with batch_files.arrow(path) as (table, info):
            if isinstance(self.load, FullLoad):
                if info is None or info.version != self.job.version:
                    raise SyncError(f"{self.job.live}: the batch file {path.name} is not of version {self.job.version}")
                self.load.take(info, self._frame(table))
            else:
                self._load_table(table)
        path.unlink(missing_ok=True)

    def _load_table(self, table: pa.Table) -> None:
        if isinstance(self.load, FullLoad):
            raise SyncError(f"{self.job.live}: a full sync's batches must be Arrow files")
        self.load.take(self._frame(table))

    def _frame(self, table: pa.Table) -> Frame:
        names = table.column_names
        missing = [name for name in self.job.key if name not in names] or not set(names) & set(self.job.column_names)
        if missing or len(set(names)) < len(names):
            raise DataRefused(
                f"{self.job.live}: a batch file lacks the stream's columns, or its key's, or has one of them twice:"
                f" {', '.join(names[:SHOWN])}"
            )
        try:
            return encode.frame(table, self.load.types)
        except pa.ArrowInvalid:
            # Its own words repeat the value.
            raise DataRefused(f"{self.job.live}: a batch has a value that its column's type cannot hold") from None

    def _load_lines(self, address: str, compression: str | None) -> None:
        for record in batch_files.json_lines(address, compression):
            self._buffer.add(record)
            if self.is_full:
                self.flush()
        self.flush()

    def activate_rows(self, version: int, rows: int | None, bookmark: Mapping[str, Any] | None) -> None:
        """ACTIVATE_VERSION: a full sync of ours takes effect; of another tap, older versions' rows go at the end."""
        if not isinstance(self.load, FullLoad):
            self.flush()
            if self.process_activate_version_messages and self.config.get("hard_delete", True):
                self._versions.activate(version)
            return
        if version != self.job.version:
            raise SyncError(f"{self.job.live}: version {version} is to be activated, and {self.job.version} was sent")
        if self._buffer.rows:
            raise SyncError(f"{self.job.live}: ACTIVATE_VERSION came before the last page's STATE")
        state = FullBookmark.from_state(bookmark)
        if state is not None and state.version == version:
            self.load.check_batches(state.batches)
        self.summary.outcome = activate(self._connection, self.load, rows, self.target.session.check)
        self.summary.activated = True

    def finish(self, *, whole: bool) -> None:
        """The stream is over. `whole` says that the input ended, not that something failed."""
        if isinstance(self.load, DirectLoad):
            if whole:
                self._versions.finish()
            self.load.finish()
            self.summary.outcome = self.load.outcome
        self.summary.counts = self.load.counts
        self.summary.log()


def _misfit(error: InvalidRecord) -> str:
    """Which rule of JSON Schema is broken, and where; the library's own words repeat the value."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return "no details"
    where = ".".join(str(part) for part in cause.absolute_path) or "the record"
    rule = cause.validator_value if cause.validator in ("type", "format", "required", "maxLength") else ""
    return f"{where} breaks the rule {cause.validator!r} {rule}".rstrip()
