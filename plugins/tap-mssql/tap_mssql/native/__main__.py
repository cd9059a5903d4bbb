"""`python -m tap_mssql.native`: compile what the system lacks, if it lacks it."""

from __future__ import annotations

from tap_mssql import native

if not native.present() and not native.built().exists():
    native.build()
