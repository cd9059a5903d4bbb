"""The report as one HTML file that needs nothing else: no script from elsewhere, no font, no network."""

from __future__ import annotations

import json
from pathlib import Path

from paralelo.verify.report import Report, to_json

_TEMPLATE = Path(__file__).with_name("report.html")
_PLACE = "/*REPORT*/null"


def page(report: Report) -> str:
    """The page. The report's values are JSON inside a script element, written so that none of them can end it."""
    data = json.dumps(to_json(report), ensure_ascii=False)
    safe = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    safe = safe.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, safe, 1)
