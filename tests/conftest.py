"""One sandbox for all end-to-end tests; each test works in tables of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Servers, started

ROWS = 4_000


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The SQL Server stand-in and PostgreSQL, with 4,000 rows of bi_credores and 2,000 of resumo_faixas."""
    with started(ROWS) as both:
        yield both
