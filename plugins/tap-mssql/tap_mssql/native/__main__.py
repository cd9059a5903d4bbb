"""`python -m tap_mssql.native`: compile what is not compiled yet."""

from __future__ import annotations

import subprocess
import sys

from tap_mssql import native

try:
    native.build()
except (OSError, subprocess.CalledProcessError) as error:
    told = f"there is no C compiler that works here: {error}"
    if not native.present() and not native.built().exists():
        sys.exit(f"{told}\nWithout libltdl no driver for SQL Server can be loaded: install a compiler, or libltdl7")
    sys.stderr.write(f"{told}\ntap-mssql reads by driver mssql-python, which takes longer\n")
