"""The picture of a benchmark: `plot.py results.json picture.svg`. Runs in an environment that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

Run = dict[str, Any]
"""One of results.json's results."""
OURS, THEIRS, BASE = "#0b6e4f", "#8d99ae", "#c8553d"


def colour(name: str) -> str:
    return (
        OURS
        if name.startswith("paralelo")
        else BASE
        if name.startswith("reference") or name.endswith("alone")
        else THEIRS
    )


def good(results: list[Run], table: str) -> list[Run]:
    return [r for r in results if r["table"] == table and r["cost"] and not r["failure"]]


def bars(axes: Any, results: list[Run], table: str) -> None:
    rates: dict[str, list[float]] = {}
    for r in good(results, table):
        rates.setdefault(r["contender"], []).append(r["rows"] / r["cost"]["wall"])
    order = sorted(rates, key=lambda name: median(rates[name]))
    widths = [median(rates[name]) for name in order]
    axes.barh(order, widths, color=[colour(name) for name in order])
    for place, width in enumerate(widths):
        axes.text(width, place, f" {width:,.0f}", va="center", fontsize=8)
    axes.set_xlim(0, max(widths, default=1) * 1.2)
    axes.set_title(f"{table}: rows/s, whole run", fontsize=10)


def growth(axes: Any, results: list[Run], table: str) -> None:
    for name, drawn in (("paralelo", OURS), ("reference", BASE)):
        for label, r in zip(
            (name, *[None] * 99), (r for r in good(results, table) if r["contender"] == name), strict=False
        ):
            points = r["growth"]
            last = max((size for _, size in points), default=0)
            if last:
                xs = [0.0, *(at for at, _ in points), r["cost"]["wall"]]
                ys = [0.0, *(size / last * r["rows"] / 1e6 for _, size in points), r["rows"] / 1e6]
                axes.plot(xs, ys, color=drawn, label=label, linewidth=1.4)
    axes.set_title(f"{table}: million rows in the target over seconds", fontsize=10)
    axes.legend(fontsize=8)


def cpu(axes: Any, results: list[Run], table: str) -> None:
    parts = {"client_cpu": "client", "source_cpu": "source server", "target_cpu": "PostgreSQL"}
    names = list(dict.fromkeys(r["contender"] for r in good(results, table)))[::-1]
    left = [0.0] * len(names)
    for (part, label), drawn in zip(parts.items(), ("#0b6e4f", "#e0a458", "#4a6fa5"), strict=True):
        found = [
            median(r["cost"][part] / r["rows"] * 1e6 for r in good(results, table) if r["contender"] == name)
            for name in names
        ]
        axes.barh(names, found, left=left, color=drawn, label=label)
        left = [a + b for a, b in zip(left, found, strict=True)]
    # The stock target's bars run out of the picture, or nothing else could be seen in it.
    ours = [whole for name, whole in zip(names, left, strict=True) if not name.startswith("stock")]
    axes.set_xlim(0, max(ours, default=1) * 1.1)
    axes.set_title(f"{table}: CPU, microseconds a row", fontsize=10)
    axes.legend(fontsize=8)


def main() -> None:
    content = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = content["results"]
    tables = [name for name in dict.fromkeys(r["table"] for r in results) if good(results, name)]
    if not tables:
        sys.exit("nothing to draw: no run counted")
    figure, axes = plt.subplots(len(tables), 3, figsize=(17, 4.2 * len(tables)), squeeze=False)
    for row, table in zip(axes, tables, strict=True):
        bars(row[0], results, table)
        growth(row[1], results, table)
        cpu(row[2], results, table)
        for each in row:
            each.spines[["top", "right"]].set_visible(False)
            each.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(sys.argv[2])
    figure.savefig(Path(sys.argv[2]).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
