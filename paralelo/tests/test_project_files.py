"""Files of the project that are not as they should be are named, and are settings to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from sync_rules.exits import ConfigurationError

from paralelo import progress, project

PLUGINS = "plugins: {extractors: [{name: tap-x, config: {sync_mode: full, tables: [dbo.x]}}]}\n"


@pytest.mark.parametrize(
    "text",
    [
        "plugins: {extractors: [{config: {}}]}",
        "plugins: [tap-x]",
        "plugins: {extractors: [tap-x]}",
        PLUGINS + "jobs: [{tasks: [tap-x target-postgres]}]",
        PLUGINS + "jobs: [{name: j, tasks: ['']}]",
        PLUGINS + "jobs: [j]",
        PLUGINS + "jobs: 3",
    ],
)
def test_a_tables_file_that_is_not_as_the_others_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "bad.meltano.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"bad\.meltano\.yml"):
        project.tables(tmp_path)


def test_an_environment_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("TAP_MSSQL_PASSWORD=senhaç\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"\.env is not in UTF-8"):
        progress.settings({}, tmp_path)
