"""A singer-sdk stream whose rows come by pages from a `Source`.

What the SDK does itself and what gets in the way: its state increments know neither descending keys nor lookback; it
sends ACTIVATE_VERSION at the start; it writes SCHEMA before the sync's version is known. Those steps are taken over
here, all others are the SDK's.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from singer_sdk import Stream
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig, StorageTarget
from singer_sdk.singerlib import SchemaMessage

from sync_rules import full, incremental
from sync_rules.batch_files import BatchFolder
from sync_rules.batch_info import BatchInfo
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark
from sync_rules.full import Deadline
from sync_rules.singer import syncs
from sync_rules.singer.handover import last_full_sync, start_in_terms_of
from sync_rules.singer.messages import ActivateVersionWithRows
from sync_rules.singer.outputs import BatchOutput, RecordOutput
from sync_rules.singer.records import records
from sync_rules.singer.settings import batch_root
from sync_rules.singer.source import Source, arrow_schema, json_schema

if TYPE_CHECKING:
    from sync_rules.singer.tap import PagedTap


Rows = Generator[dict[str, Any], Any, Any]


class PagedStream(Stream):
    """One table, full or incremental by the `sync_mode` setting."""

    _tap: PagedTap
    _plan: syncs.FullPlan | syncs.IncrementalPlan | None = None

    @abstractmethod
    def open_source(self) -> Source:
        """The table as it is now, with the selected columns. Called once; raises SyncError."""

    @property
    def source(self) -> Source:
        """The opened source."""
        if self._source is None:
            self._source = self.open_source()
        return self._source

    _source: Source | None = None

    @property
    def is_full(self) -> bool:
        """Whether this is a full sync."""
        return bool(self.config["sync_mode"] == "full")

    @property
    def replication_method(self) -> str:
        """By the setting; a catalog cannot turn one into the other, since state, locks and jobs go by the mode."""
        return "FULL_TABLE" if self.is_full else "INCREMENTAL"

    @property
    def provable_as(self) -> str | None:
        """How `verify` names the table, where it can compare it with its copy; None where it cannot."""
        return None

    @property
    def emit_activate_version_messages(self) -> bool:
        """The SDK would send ACTIVATE_VERSION at the start: ours comes at the end."""
        return False

    def get_replication_key_signpost(self, context: Any = None) -> None:
        """None: the bookmark is kept by the sync rules, in the source's own terms."""

    def selects(self, column: str) -> bool:
        """Whether the catalog selects the column.

        Meltano keeps a catalog, and a column may be younger. It is selected with all others; where the catalog leaves
        some out, nobody has said yet what is to become of it, and it may be what must not be copied.
        """
        selected = self.mask.get(("properties", column))
        if selected is not None:
            return selected
        if all(self.mask.values()):
            return True
        self.logger.warning(
            "%s: column %s is not read: the catalog leaves out others and does not know it yet. `meltano run"
            " --refresh-catalog ...` makes the catalog anew",
            self.name,
            column,
        )
        return False

    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """The SDK announces each error before it raises it; here an error is told once, in one line, at the end."""
        if not message.startswith("An unhandled error occurred"):
            super().log(message, *args, level=level, **kwargs)

    def get_batch_config(self, config: Mapping[str, Any]) -> BatchConfig | None:
        """Arrow files unless there is no batch_config, or this is a dry run, whose files nobody would take."""
        if not config.get("batch_config") or self.ABORT_AT_RECORD_COUNT is not None:
            return None
        return BatchConfig(encoding=BaseBatchFileEncoding(format="arrow"), storage=StorageTarget(root="file://"))

    def get_records(self, context: Any) -> Iterable[dict[str, Any]]:  # noqa: ARG002
        """Every row of a full sync as a record. The sync itself goes by pages; this is for those who ask the stream."""
        plan = syncs.plan_full(self.source, None, self.logger)
        found = full.pages(plan.bookmark, self.source.read_page) if self.source.key else None
        pages = (page.batches for page, *_ in found) if found is not None else self.source.read_whole()
        for batches in pages:
            for batch in batches:
                yield from records(batch)

    def _write_schema_message(self) -> None:
        """SCHEMA, with the plan of the sync in it."""
        source = self.source
        plan = self._make_plan(source)
        self._plan = plan
        schema = json_schema(source.columns)
        schema["x-paralelo"] = {
            **plan.describe(),
            "cursor": source.cursor,
            "provable_as": self.provable_as,
            "lookback_seconds": 60 * int(self.config["lookback_minutes"]),
            "load": dict(self.config.get("load") or {}),
        }
        bookmark_properties = [source.cursor] if source.cursor and not self.is_full else None
        self._tap.lines.message(SchemaMessage(self.name, schema, list(source.key), bookmark_properties))

    def _make_plan(self, source: Source) -> syncs.FullPlan | syncs.IncrementalPlan:
        saved = self.stream_state
        if self.is_full:
            return syncs.plan_full(source, FullBookmark.from_state(saved), self.logger)
        return syncs.plan_incremental(
            source,
            IncrementalBookmark.from_state(saved),
            timedelta(minutes=self.config["lookback_minutes"]),
            self.logger,
            full_sync=lambda: last_full_sync(self.name, saved, self.config, self.logger),
            start_date=lambda clock: start_in_terms_of(clock, self.config.get("start_date")),
        )

    def _sync_batches(self, batch_config: BatchConfig, context: Any = None) -> None:  # noqa: ARG002
        folder = BatchFolder(
            batch_root(self.config),
            max_ahead=self.config["max_batches_ahead"],
            patience_seconds=self.config["batch_patience_seconds"],
        )
        self._run(BatchOutput(self.name, arrow_schema(self.source.columns), folder, self._tap.lines))

    def _sync_records(self, context: Any = None, *, write_messages: bool = True) -> Rows:  # noqa: ARG002
        self._run(RecordOutput(self.name, self._tap.lines, self.ABORT_AT_RECORD_COUNT))
        yield from ()

    def _run(self, output: BatchOutput | RecordOutput) -> None:
        plan, source, started = self._plan, self.source, time.monotonic()
        if plan is None:
            raise RuntimeError("a sync was asked for before its SCHEMA was written")
        deadline = Deadline.after(self.config["sync_limit_seconds"])
        with output, self.get_record_counter() as counter, self.get_batch_counter() as batch_counter:

            def count(rows: int) -> None:
                counter.increment(rows)
                batch_counter.increment()

            tally = syncs.Tally(count)
            try:
                if self.ABORT_AT_RECORD_COUNT is not None:
                    self._dry_run(plan, output)
                    self._tap.send_state()
                elif isinstance(plan, syncs.FullPlan):
                    finished = syncs.run_full(source, plan, output, self._save, deadline, tally)
                    self._tap.lines.message(
                        ActivateVersionWithRows(stream=self.name, version=finished.version, rows=finished.rows)
                    )
                else:
                    syncs.run_incremental(source, plan, output, self._save, deadline, tally)
                    self._report_null_cursors(source)
            finally:
                self._report(tally, time.monotonic() - started)
                source.close()

    def _dry_run(self, plan: syncs.FullPlan | syncs.IncrementalPlan, output: BatchOutput | RecordOutput) -> None:
        """The first rows: a connection test must not move a bookmark."""
        if isinstance(plan, syncs.IncrementalPlan):
            for page, _ in incremental.pages(plan.window, plan.bookmark, self.source.read_cursor_page):
                output.page(page.batches, BatchInfo(stream="", mode="incremental", batch=1, rows=page.rows))
                return
            return
        found = (
            (page.batches for page, *_ in full.pages(plan.bookmark, self.source.read_page))
            if self.source.key
            else self.source.read_whole()
        )
        for batches in found:
            output.page(batches, full.batch_info(plan.bookmark, None, 0))
            return

    def _save(self, bookmark: dict[str, Any]) -> None:
        """Put the bookmark into the tap's state and send it: whatever else the state holds goes along."""
        self.tap_state.setdefault("bookmarks", {})[self.name] = bookmark
        self._tap.send_state()

    def _report_null_cursors(self, source: Source) -> None:
        nulls = source.null_cursors()
        if nulls:
            self.logger.warning(
                "%s: rows without a value in %s: %s; incremental syncs never see them, only a full sync does",
                source.name,
                source.cursor,
                nulls,
            )

    def _report(self, tally: syncs.Tally, seconds: float) -> None:
        rate = tally.rows / seconds if seconds > 0 else 0
        rows = f"{tally.rows} {'row' if tally.rows == 1 else 'rows'}"
        batches = f"{tally.batches} {'batch' if tally.batches == 1 else 'batches'}"
        self.logger.info("%s: %s in %s, %.1f s, %.0f rows/s", self.source.name, rows, batches, seconds, rate)
        for loss in self.source.losses():
            if loss.values:
                values = f"{loss.values} {'value' if loss.values == 1 else 'values'}"
                self.logger.warning("%s: %s lost %s", self.source.name, values, loss.what)
