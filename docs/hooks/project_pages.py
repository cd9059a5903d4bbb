"""The root's SPEC.md as a page of the site, and the places in the menu of pages that may not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# Pages whose tools are delivered on their own: each is in the menu once it is there.
PAGES = {
    "adding-tables.md": ("Copy", "Adding tables"),
    "benchmark.md": ("Trust", "Benchmark"),
    "doctor.md": ("Operate", "Doctor"),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the optional pages that exist into their sections of the menu."""
    for page, (section, title) in PAGES.items():
        if (Path(config.docs_dir) / page).exists():
            _section(config.nav or [], section).append({title: page})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's SPEC.md as a page; its links lead into docs/ from outside, and within it here."""
    spec = Path(config.docs_dir).parent / "SPEC.md"
    text = spec.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "SPEC.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to the root's SPEC.md to its page."""
    return markdown.replace("](../SPEC.md", "](SPEC.md")


def _section(nav: list[dict[str, Any]], title: str) -> list[Any]:
    return next(next(iter(entry.values())) for entry in nav if title in entry)
