"""The root's SPEC.md as a page of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's SPEC.md as a page; its links lead into docs/ from outside, and within it here."""
    spec = Path(config.docs_dir).parent / "SPEC.md"
    text = spec.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "SPEC.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to the root's SPEC.md to its page."""
    return markdown.replace("](../SPEC.md", "](SPEC.md")
