"""tap-sqlite over several files in one process: `python -m stores.migration.tap_files <configs.json>`.

A plugin takes seconds to start and a small file a fraction of one to read. The errors and exit codes are the tap's own.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from sync_rules.exits import Exit, SyncError
from tap_sqlite.tap import TapSqlite


def main() -> int:
    """Sync the files one after the other to standard output."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s | %(levelname)s | %(message)s")
    for config in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        try:
            TapSqlite(config=config, parse_env_config=False).sync_all()
        except SyncError as error:
            logging.error("%s", error)  # noqa: TRY400
            return int(error.exit)
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(main())
