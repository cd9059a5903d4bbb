"""`python -m stores.migration`: the same as scripts/migrate_sqlite_to_pg.py."""

import sys

from stores.migration.command import main

sys.exit(main())
