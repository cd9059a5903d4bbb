"""tap-sqlite over several files in one process: `python -m stores.migration.tap_files <configs.json> <failed.json>`.

A plugin takes seconds to start and a small file a fraction of one to read. The errors and exit codes are the tap's own;
what is the matter with one file is written down, and the others are read.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from sync_rules.exits import ConfigurationError, DataRefused, Exit, SourceUnreachable, SyncError
from tap_sqlite.tap import TapSqlite


def main() -> int:
    """Sync the files one after the other to standard output."""
    failed: dict[str, tuple[str, int]] = {}
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s | %(levelname)s | %(message)s")
    for config in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        try:
            TapSqlite(config=config, parse_env_config=False).sync_all()
        except (ConfigurationError, SourceUnreachable, DataRefused) as error:
            failed[config["path"]] = str(error), int(error.exit)
        except SyncError as error:
            logging.error("%s", error)  # noqa: TRY400
            return int(error.exit)
    Path(sys.argv[2]).write_text(json.dumps(failed), encoding="utf-8")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(main())
