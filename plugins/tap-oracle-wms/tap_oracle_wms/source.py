"""One entity as a `Source`: what the shared sync rules ask of any tap."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pyarrow as pa
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import LimitReached, SourceUnreachable, SyncError
from sync_rules.full import Beginning, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window
from sync_rules.singer.source import Column, Loss, fingerprint
from sync_rules.spans import SpanPage, SpanReader
from sync_rules.workers import Workers

from tap_oracle_wms import whole
from tap_oracle_wms.changes import ChangePage, ChangeReader, Changes, with_offset
from tap_oracle_wms.choices import KEY, Choices
from tap_oracle_wms.client import Answer, Client
from tap_oracle_wms.decode import Page as WirePage
from tap_oracle_wms.decode import PageDecoder, field_names, read_head
from tap_oracle_wms.errors import BadAnswer, Passing, http_date
from tap_oracle_wms.links import next_query
from tap_oracle_wms.patient import Losses
from tap_oracle_wms.settings import by_mode

_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


class EntitySource:
    """One entity, ready to be read."""

    def __init__(
        self, entity: str, choices: Choices, config: Mapping[str, Any], client: Client, log: logging.Logger
    ) -> None:
        self._entity = entity
        self._choices = choices
        self._config = config
        self._client = client
        self._log = log
        self._losses = Losses()
        self._decoder = PageDecoder(entity, choices.parts, self._losses)
        self._batch_rows = by_mode(config, "batch_rows")
        self._planned: tuple[int | None, int | None] | None = None
        self._full: Iterator[Page] | None = None
        self._changes: Iterator[CursorPage] | None = None
        self._closed = False
        self._not_found = False
        self._looked = False
        self._undated = False

    @property
    def name(self) -> str:
        """The entity's name."""
        return self._entity

    @property
    def columns(self) -> Sequence[Column]:
        """In the API's order."""
        return [part.column for part in self._choices.parts]

    @property
    def key(self) -> Sequence[str]:
        """Always `id`."""
        return (KEY,)

    @property
    def cursor(self) -> str | None:
        """The modification timestamp, where the entity has one."""
        return self._choices.cursor

    @property
    def fingerprint(self) -> str:
        """Of server, columns, key, and the filters: rows read under other filters do not belong together.

        Not of the columns' order: `describe` promises none, and rows are stored by the columns' names.
        """
        columns = sorted(self.columns, key=lambda column: column.name)
        filters = sorted(self._choices.query.filters.items())
        return fingerprint(columns, self.key, filters, str(self._config["base_url"]).rstrip("/"))

    def begin(self) -> Beginning:
        """Small requests: the clock and the highest id, the lowest one, how many rows there are, the newest row."""
        upper, said = self._edge("-id")
        now = self._now(said)
        if upper is None:
            self._check_empty()
        estimate = None if upper is None else self._plan(upper + 1)[1]
        return Beginning(
            started_at=now.isoformat(timespec="seconds"),
            upper_key=None if upper is None else (upper,),
            estimate=estimate,
            cursor_at_start=self._handover(now, empty=upper is None).isoformat(timespec="microseconds"),
            cursor_column=self.cursor,
            instant=time.time_ns() // 1_000_000 % 1_000,
        )

    def read_page(self, key_range: KeyRange) -> Page:
        """The next batch. Ranges have to follow each other, as the sync rules ask for them."""
        if self._full is None:
            below = int((key_range.below or (int(key_range.upper[0]) + 1,))[0])
            self._full = self._pages(below)
        return next(self._full)

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        """Never asked for: every entity has a key."""
        raise NotImplementedError

    def check_whole(self, bookmark: FullBookmark) -> None:
        """Raises CheckRefused when the API counts more rows than it answered; says how many have no cursor."""
        if self._config["check_count"]:
            lookback = timedelta(minutes=int(self._config["lookback_minutes"]))
            undated = whole.check(self._entity, self.cursor, lookback, bookmark, self._count_leniently)
            if undated:
                words = "%s: rows without a value in %s: %s; incremental syncs never see them, only a full sync does"
                self._log.warning(words, self._entity, self.cursor, undated)

    def clock(self) -> Clock:
        """The server's clock to the end of its second: it tells whole seconds, and rows of this one must not wait."""
        now = self._now(self._edge("-id")[1])
        end = now + timedelta(microseconds=999_999)
        return Clock(end.isoformat(timespec="microseconds"), 0, now.isoformat(timespec="seconds"))

    def estimate(self) -> int | None:
        """Not asked of the API: counting a table costs it more than an incremental sync does."""
        return None

    def read_cursor_page(self, window: Window) -> CursorPage:
        """The next batch of changes. After the last one of a window the next window may begin."""
        if self._changes is None:
            self._changes = self._change_pages(window)
        page = next(self._changes)
        if page.last:
            self._changes = None
        return page

    def null_cursors(self) -> int:
        """Not asked of the API: counting a table costs it more than an incremental sync. A full sync's check tells."""
        return 0

    def losses(self) -> Sequence[Loss]:
        """What was let pass."""
        return self._losses.seen()

    def close(self) -> None:
        """Close the connections."""
        if not self._closed:
            self._closed = True
            self._log.info(
                "%s: %s requests, %s of them repeated", self._entity, self._client.requests, self._client.repeated
            )
            self._client.close()

    def ids(self) -> Iterator[pa.RecordBatch]:
        """Every row's selected columns by descending id, page by page: for the sweep."""
        upper, _ = self._edge("-id")
        if upper is not None:
            yield from self._spans(upper + 1)

    def bounds(self) -> tuple[int, int | None, int | None, datetime]:
        """How many rows there are, the lowest and the highest id, and the server's clock."""
        highest, said = self._edge("-id")
        lowest, _ = self._edge("id")
        return self.count(), lowest, highest, self._now(said)

    def ascending(self, at_least: int | None, below: int | None, since: str | None) -> Iterator[pa.RecordBatch]:
        """The rows with `at_least <= id < below` and, with `since`, a cursor not before it, one page after another.

        Raises BadAnswer for rows that are not in order.
        """
        cursor = {} if since is None else {f"{self.cursor}__gte": with_offset(since)}
        above: int | None = None
        while True:
            low = {"id__gte": at_least} if above is None else {"id__gt": above}
            page, more = self._list(self._choices.query.ask(KEY, id__lt=below, **low, **cursor))
            ids = page.batch.column(KEY).to_numpy()
            if len(ids):
                first = at_least if above is None else above + 1
                if bool(np.any(np.diff(ids) <= 0)) or (first is not None and ids[0] < first):
                    raise BadAnswer(f"{self._entity}: rows came out of order, or a page came again")
                yield page.batch
                above = int(ids[-1])
            elif more:
                raise self._empty_page()
            if not more:
                return

    def with_ids(self, ids: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The rows with these ids, as far as there are any; no more of them than a page holds are asked for at once."""
        size = self._choices.query.page_size
        for start in range(0, len(ids), size):
            some = ",".join(str(one) for one in ids[start : start + size])
            yield self._list(self._choices.query.ask(KEY, id__in=some))[0].batch

    def count(self, *, optional: bool = False, **bounds: object) -> int:
        """How many rows the API has within the bounds, under the filters; `optional` as in `Client.get`."""

        def read(answer: Answer) -> int:
            head = read_head(self._entity, answer.body)
            if head.result_count is None:
                raise BadAnswer(f"{self._entity}: the API answered no result_count in page_mode paged")
            return head.result_count

        query = self._choices.query.count(**bounds)
        return self._client.get(self._entity, f"{self._entity}/", query, read, empty=0, optional=optional)

    def _pages(self, below: int) -> Iterator[Page]:
        """Batches of many answers each."""
        held: list[pa.RecordBatch] = []
        rows = size = 0
        limit = int(self._config["page_bytes"])
        for batch in self._spans(below):
            if held and (rows + batch.num_rows > self._batch_rows or size + batch.nbytes > limit):
                yield self._page_of(held, last=False)
                held, rows, size = [], 0, 0
            held.append(batch)
            rows += batch.num_rows
            size += batch.nbytes
        self._check_entity()
        yield self._page_of(held, last=True)

    def _page_of(self, batches: list[pa.RecordBatch], *, last: bool) -> Page:
        lowest = (int(batches[-1].column(KEY)[-1].as_py()),) if batches else None
        return Page(batches, lowest, last)

    def _plan(self, below: int) -> tuple[int | None, int | None]:
        """The lowest id, and how many rows there are below that one: asked once, both at once."""
        if self._planned is None:
            other: Workers[None, int | None] = Workers(1)
            try:
                other.submit(None, lambda: self._count_leniently(optional=True, id__lt=below))
                bottom, _ = self._edge("id")
                counted = other.result()
            finally:
                other.close()
            self._planned = bottom, None if counted is None else counted[1]
        return self._planned

    def _spans(self, below: int) -> Iterator[pa.RecordBatch]:
        bottom, count = self._plan(below)
        width = below - bottom if bottom is not None else 0
        density = count / width if count and width > 0 else 1.0
        return iter(
            SpanReader(
                self._fetch_span,
                below=below,
                bottom=bottom,
                density=density,
                page_size=self._choices.query.page_size,
                # Threads decode what came while others wait for the API: a few more than the limiter lets ask at once.
                in_flight=math.ceil(1.25 * int(self._config["max_requests_in_flight"])),
            )
        )

    def _fetch_span(self, below: int, at_least: int | None) -> SpanPage[pa.RecordBatch]:
        """One answer of a full sync, checked: in order, within its bounds."""
        query = self._choices.query.ask("-id", id__lt=below, id__gte=at_least)
        page, more = self._list(query)
        ids = page.batch.column(KEY).to_numpy()
        if not len(ids):
            if more:
                raise self._empty_page()
            return SpanPage(page.batch, None, last=True)
        if ids[0] >= below or (at_least is not None and ids[-1] < at_least):
            raise BadAnswer(f"{self._entity}: rows came that were not asked for, or a page came again")
        if bool(np.any(np.diff(ids) >= 0)):
            raise BadAnswer(f"{self._entity}: rows came out of order, or twice: the API did not sort them")
        lowest = int(ids[-1])
        return SpanPage(page.batch, lowest, last=not more or lowest == at_least)

    def _change_pages(self, window: Window) -> Iterator[CursorPage]:
        cursor, high = str(self.cursor), with_offset(str(window.high))
        # A start_date, and the start of a full sync that had another cursor, come in UTC without saying so.
        low = with_offset(str(window.low))

        def by_time(low: str) -> ChangePage:
            bounds = {f"{cursor}__gte": low, f"{cursor}__lte": high}
            return self._change_page(self._choices.query.ask(f"{cursor},{KEY}", **bounds))

        def by_moment(low: str, end: str, above: int | None) -> ChangePage:
            bounds = {f"{cursor}__gte": low, f"{cursor}__lt": end, f"{cursor}__lte": high, "id__gt": above}
            return self._change_page(self._choices.query.ask(KEY, **bounds))

        above = None if window.within is None else int(window.within[0])
        held: list[Changes] = []
        rows = 0
        for found in ChangeReader(self._entity, KEY, cursor, by_time, by_moment).read(low, above):
            if held and rows + found.batch.num_rows > self._batch_rows:
                yield cursor_page(held, last=False)
                held, rows = [], 0
            held.append(found)
            rows += found.batch.num_rows
        yield cursor_page(held, last=True)

    def _change_page(self, query: Mapping[str, str]) -> ChangePage:
        page, more = self._list(query)
        return ChangePage(page.batch, last=not more)

    def _list(self, query: Mapping[str, str]) -> tuple[WirePage, bool]:
        """One page and whether more follow. An empty list is a page without rows."""
        size = int(query["page_size"])

        def read(answer: Answer) -> tuple[WirePage, bool]:
            page = self._decoder.decode(answer.body)
            self._tell_undescribed(page, answer.body)
            if page.batch.num_rows > size:
                raise BadAnswer(f"{self._entity}: {page.batch.num_rows} rows came where at most {size} were asked for")
            following = next_query(page.next_page, answer.address)
            if following is not None and dict(parse_qsl(following, keep_blank_values=True)) == query:
                raise BadAnswer(f"{self._entity}: next_page leads back to the page that was answered")
            counted = page.result_count or 0
            if page.batch.num_rows < (counted if following is None else min(size, counted)):
                # Rows may have gone between the API's count and its page: another answer tells.
                raise Passing("an answer with fewer rows than it counts")
            return page, following is not None

        nothing = WirePage(pa.RecordBatch.from_pylist([], self._decoder.schema), None), False
        found = self._client.get(self._entity, f"{self._entity}/", query, read, empty=nothing)
        self._not_found = self._not_found or found is nothing
        return found

    def _tell_undescribed(self, page: WirePage, body: bytes | bytearray) -> None:
        """Warn once of fields that the answers have and `describe` has not, where all fields are asked for."""
        if self._looked or not page.batch.num_rows or self._choices.query.fields is not None:
            return
        self._looked = True
        known = {part.field.name for part in self._choices.parts} | {"url"}
        for name in sorted(field_names(body) - known):
            self._log.warning("%s: the answers have a field %s, which describe has not: not copied", self._entity, name)

    def _edge(self, ordering: str) -> tuple[int | None, datetime | None]:
        """The first id in that order, and the server's clock where it tells it."""
        query = {**self._choices.query.ask(ordering), "page_size": "1", "fields": KEY}

        def read(answer: Answer) -> tuple[int | None, datetime | None]:
            page = self._id_decoder.decode(answer.body)
            rows = page.batch
            if not rows.num_rows and page.next_page:
                raise self._empty_page()
            return (int(rows.column(0)[0].as_py()) if rows.num_rows else None), http_date(answer.date)

        def nothing(date: str | None) -> tuple[int | None, datetime | None]:
            return None, http_date(date)

        return self._client.get(self._entity, f"{self._entity}/", query, read, empty=nothing)

    def _now(self, said: datetime | None) -> datetime:
        """The server's clock.

        Where it does not tell it, this machine's, but no later than the newest row: what changes from now on comes
        after that one, whatever the two clocks' difference.
        """
        if said is not None:
            return said
        if not self._undated:
            self._undated = True
            self._log.warning(
                "%s: the answers have no Date: the newest row's time is taken for the clock", self._entity
            )
        ours = datetime.now(tz=timezone.utc)
        newest = self._newest(ours)
        return min(ours, newest or ours).replace(microsecond=0)

    def _handover(self, now: datetime, *, empty: bool) -> datetime:
        """Where the first incremental sync takes over from a full one: the clock, or the newest row's time if lower.

        Rows may be stamped by a clock that is behind the answers' Date, further than a lookback reaches. Of an entity
        that is empty, all that come later are to be read.
        """
        if empty or self.cursor is None:
            return _LONG_AGO if empty else now
        try:
            newest = self._newest(now, optional=True)
        except LimitReached:
            raise
        except SyncError as error:
            self._log.warning("%s: its newest %s is not known: %s", self._entity, self.cursor, error)
            return now
        return min(now, newest or now)

    def _newest(self, now: datetime, *, optional: bool = False) -> datetime | None:
        """The highest cursor that is not after the clock's second; `optional` as in `Client.get`."""
        if self.cursor is None:
            return None
        parts = [part for part in self._choices.parts if part.column.name == self.cursor]
        end = now.replace(microsecond=999_999)
        asked = {f"{self.cursor}__gte": _LONG_AGO.isoformat(), f"{self.cursor}__lte": end.isoformat()}
        query = {**self._choices.query.ask(f"-{self.cursor}", **asked), "page_size": "1", "fields": self.cursor}

        def read(answer: Answer) -> datetime | None:
            rows = PageDecoder(self._entity, parts, self._losses).decode(answer.body).batch
            found: datetime | None = rows.column(0)[0].as_py() if rows.num_rows else None
            return found

        return self._client.get(self._entity, f"{self._entity}/", query, read, empty=lambda _: None, optional=optional)

    @property
    def _id_decoder(self) -> PageDecoder:
        return PageDecoder(
            self._entity, [part for part in self._choices.parts if part.column.name == KEY], self._losses
        )

    def _count_leniently(self, *, optional: bool = False, **bounds: object) -> int | None:
        """A count, or None where the API cannot make it, which is no reason to fail."""
        try:
            return self.count(optional=optional, **bounds)
        except LimitReached:
            raise
        except SyncError as error:
            self._log.warning("%s: not counted: %s", self._entity, error)
            return None

    def _empty_page(self) -> BadAnswer:
        return BadAnswer(f"{self._entity}: the API answered an empty page and says that more follow")

    def _check_empty(self) -> None:
        """An entity without rows is counted: one 404, which an API in trouble may give, must not empty a table."""
        self._not_found = True
        self._check_entity()
        counted = self._count_leniently()
        if counted:
            raise SourceUnreachable(f"{self._entity}: the API answered that there are no rows, and counts {counted}")

    def _check_entity(self) -> None:
        """Tell an empty list from an entity that went away meanwhile: the API answers both with 404."""
        path = f"{self._entity}/describe/"
        if self._not_found and not self._client.get(f"describe of {self._entity}", path, None, bool, empty=False):
            raise SourceUnreachable(
                f"{self._entity}: the API answered 404 and knows the entity no more: what is left of it was not read"
            )


def cursor_page(held: list[Changes], *, last: bool) -> CursorPage:
    """The batch that these make, and where a run that ends after it goes on."""
    if not held:
        return CursorPage([], None, last=last)
    end = held[-1]
    key = (int(end.batch.column(KEY)[-1].as_py()),)
    resume = (end.reached, None if end.above is None else (end.above,))
    return CursorPage([one.batch for one in held], (end.reached, key), last=last, resume=resume)
