"""What the WMS bench makes of its runs."""

from __future__ import annotations

from bench.measure import Cost
from bench.wms import Round, table


def test_the_table_says_how_much_of_the_latencys_limit_was_reached_and_what_failed() -> None:
    cost = Cost(0, 25.0, 9.0, 1.0, 2.0, 2**20)
    requests = {"requests": 800, "most_in_a_second": 40, "most_in_flight": 8}
    rounds = [
        Round(0.2, 1_000_000, cost, requests, (2**20, 2**21, 2**21, 2**20), ""),
        Round(0.0, 1_000_000, cost, requests, (), "3 ids are missing"),
    ]
    slow, quick = table(rounds, in_flight=8).splitlines()[2:]
    assert "| 40,000 | 80% |" in slow
    assert "| 1 2 2 1 |" in slow
    assert slow.endswith("| equal |")
    assert quick.endswith("| 3 ids are missing |")
