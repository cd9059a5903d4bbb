"""Rows by descending id, from many ranges of ids at once, handed over strictly in order.

The ids are cut into spans of a few pages each, by how many of them are taken. Each span is read page by page below
the lowest id it has seen; several spans are in flight, and only the highest unfinished one is handed on. So the
bookmark stays one number, and the memory stays within a budget: spans further down wait while it is spent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from sync_rules.workers import Workers

PAGES_A_SPAN = 8
SMALLEST_SPAN_PAGES = 2
BUDGET_BYTES = 32 * 1024 * 1024
_LEAST_DENSITY = 1e-20
"""A few rows anywhere in 64 bits; a higher one would have holes crossed in steps without end."""
_MEMORY = 0.97
"""What a page leaves of the weight of those before it in the density: some thirty pages count."""
_GUESS_PAGES = 1
"""How many pages weigh as much as the density that the caller guessed, which knows nothing of holes."""
_LARGE = 1.5
"""A span is cut when that many times what is planned for one is left of it."""


class Rows(Protocol):
    """Rows as a source hands them on; a `pyarrow.RecordBatch` is one."""

    @property
    def num_rows(self) -> int:
        """How many."""

    @property
    def nbytes(self) -> int:
        """What they take of the memory."""


R = TypeVar("R", bound=Rows)


@dataclass(frozen=True)
class SpanPage(Generic[R]):
    """Rows of a span in descending order of id. `lowest` is the last row's id; `last` is true when none are left."""

    rows: R
    lowest: int | None
    last: bool


@dataclass(eq=False)
class _Span(Generic[R]):
    """Ids below `below` and at least `at_least` (None: all that are left). `next_below` is where it goes on."""

    below: int
    at_least: int | None
    pages: deque[R] = field(default_factory=deque)
    next_below: int = 0
    rows: int = 0
    busy: bool = False
    done: bool = False

    def __post_init__(self) -> None:
        self.next_below = self.below


class SpanReader(Generic[R]):
    """Reads every row with id below `below`. `bottom` is the lowest id known of, None where there is none.

    `fetch` asks for the highest `page_size` rows with id below its first number and, where given, at least its second.
    `density` is how many ids of a hundred are taken, as a fraction; it is only where the planning starts.
    `pages_a_span` is how many pages one range holds at the most: small pages are better read several to a range.
    """

    def __init__(
        self,
        fetch: Callable[[int, int | None], SpanPage[R]],
        *,
        below: int,
        bottom: int | None,
        density: float,
        page_size: int,
        in_flight: int,
        budget_bytes: int = BUDGET_BYTES,
        pages_a_span: int = PAGES_A_SPAN,
    ) -> None:
        self._fetch = fetch
        self._workers: Workers[_Span[R], SpanPage[R]] = Workers(in_flight)
        self._pages_a_span = pages_a_span
        self._smallest_span_pages = min(SMALLEST_SPAN_PAGES, pages_a_span)
        self._page_size = page_size
        self._bottom = bottom
        self._seen_ids = float(_GUESS_PAGES * page_size) / max(density, _LEAST_DENSITY)
        self._seen_rows = self._seen_ids * density
        self._in_hole, self._last_probe = False, below + 1
        self._budget = budget_bytes
        self._spans: deque[_Span[R]] = deque()
        self._next_top: int | None = below
        self._held_bytes = 0
        self._page_bytes = 0.0

    def __iter__(self) -> Generator[R, None, None]:
        try:
            while True:
                self._keep_busy()
                while self._spans and self._spans[0].done and not self._spans[0].pages:
                    self._spans.popleft()
                    self._keep_busy()
                if not self._spans and self._next_top is None:
                    return
                if self._spans and self._spans[0].pages:
                    rows = self._spans[0].pages.popleft()
                    self._held_bytes -= rows.nbytes
                    yield rows
                    self._take(wait=False)
                else:
                    self._take(wait=True)
        finally:
            self._workers.close()

    def _take(self, *, wait: bool) -> None:
        """Take what has come; with `wait`, at least one."""
        found = self._workers.result(wait=wait)
        while found is not None:
            self._arrived(*found)
            found = self._workers.result(wait=False)

    def _arrived(self, span: _Span[R], page: SpanPage[R]) -> None:
        span.busy = False
        if page.rows.num_rows:
            span.pages.append(page.rows)
            span.rows += page.rows.num_rows
            self._held_bytes += page.rows.nbytes
            weight = page.rows.nbytes * self._page_size / page.rows.num_rows
            self._page_bytes = weight if not self._page_bytes else 0.8 * self._page_bytes + 0.2 * weight
        if page.rows.num_rows and page.lowest is not None and span.at_least is not None:
            # What the page says of the ids down to its lowest row; a range's last page, of all that were left of it.
            self._learn(page.rows.num_rows, span.next_below - (span.at_least if page.last else page.lowest))
        if page.last or page.lowest is None:
            span.done = True
            self._in_hole = not span.rows and span.below < self._last_probe
        else:
            span.next_below = page.lowest
            self._cut_if_large(span)

    @property
    def _density(self) -> float:
        """What fraction of the ids is taken, by the latest spans."""
        return min(1.0, max(self._seen_rows / self._seen_ids, _LEAST_DENSITY))

    def _learn(self, rows: int, ids: int) -> None:
        self._seen_rows = _MEMORY * self._seen_rows + rows
        self._seen_ids = _MEMORY * self._seen_ids + ids

    def _cut_if_large(self, span: _Span[R]) -> None:
        """Cut what is left of a span that is far larger than planned, so that its parts are read at once.

        Otherwise its one request at a time would hold up all that follow, and those would fill the budget.
        """
        planned = self._rows_a_span()
        lowest = span.at_least if span.at_least is not None else self._bottom
        if lowest is None:
            return
        # The rows close to each other that it had say little about the rest, unless it had as many as were planned.
        density = self._density
        if span.rows >= planned:
            density = max(density, min(1.0, span.rows / (span.below - span.next_below)))
        if density * (span.next_below - lowest) < _LARGE * planned:
            return
        width = max(self._page_size, math.floor(planned / density))
        if span is self._spans[-1]:  # what follows has not been opened yet: it is planned anew, from here
            span.at_least = self._next_top = span.next_below - width
            return
        last, place = span.at_least, self._spans.index(span)
        cuts = [span.next_below - width]
        while cuts[-1] - width > lowest and len(cuts) < self._workers.count:
            cuts.append(cuts[-1] - width)
        span.at_least = cuts[0]
        for number, (cut, following) in enumerate(zip(cuts, [*cuts[1:], last], strict=True), start=1):
            self._spans.insert(place + number, _Span(cut, following))

    def _keep_busy(self) -> None:
        """Ask for more, nearest rows first.

        The budget is for what lies further ahead: the spans next in line may always fetch a little, or a full budget
        would leave only the first of them to go on, one request at a time.
        """
        limit = self._workers.count + self._workers.count // 2
        for number, span in enumerate(self._spans):
            if self._workers.under_way >= limit:
                return
            near = number < self._workers.count and len(span.pages) < self._smallest_span_pages
            if not number or near or not self._is_spent():
                self._ask(span)
        while self._workers.under_way < limit and self._next_top is not None:
            if len(self._spans) >= self._workers.count and self._is_spent():
                return
            self._spans.append(self._open(self._next_top))
            self._ask(self._spans[-1])

    def _ask(self, span: _Span[R]) -> None:
        if span.busy or span.done:
            return
        span.busy = True
        below, at_least = span.next_below, span.at_least
        self._workers.submit(span, lambda: self._fetch(below, at_least))

    def _is_spent(self) -> bool:
        coming = self._workers.under_way * self._page_bytes
        return self._held_bytes + coming >= self._budget

    def _open(self, top: int) -> _Span[R]:
        """The span below `top`. In a hole it has no lower end: its first page tells where rows begin again."""
        at_least = top - self._width(self._rows_a_span(top))
        if self._bottom is None or at_least <= self._bottom or self._in_hole:
            # The last one has no lower end either: what is below the lowest id that was known is read as well.
            self._next_top, self._in_hole, self._last_probe = None, False, top
            return _Span(top, None)
        self._next_top = at_least
        return _Span(top, at_least)

    def _width(self, rows: float) -> int:
        """As many ids as hold about so many rows, rather fewer: one row more would cost a page of its own.

        Where ids are taken at random, how many of a range are varies by the square root. Four times that leaves few
        over, also where those that are missing are missing in runs.
        """
        density = self._density
        aim = max(rows / 2, rows - 4 * math.sqrt(rows * (1 - density)))
        return max(self._page_size, math.floor(aim / density))

    def _rows_a_span(self, top: int | None = None) -> int:
        """Rows a span is planned for. Below `top` the last spans get smaller, so that they end at about one time."""
        pages = float(self._smallest_span_pages)  # until the first rows have told how close the ids lie
        if self._page_bytes:
            # Not all of the budget: spans in flight fill up together, and new ones open before the first is done.
            pages = self._budget / (self._page_bytes * self._workers.count * 1.5)
        whole = min(self._pages_a_span, max(self._smallest_span_pages, math.floor(pages)))
        if top is not None and self._bottom is not None:
            left = self._density * (top - self._bottom) / self._page_size
            whole = min(whole, max(1, math.floor(left / self._workers.count)))
        return self._page_size * whole
