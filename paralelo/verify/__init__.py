"""Proof: SQL Server or Oracle WMS and PostgreSQL compared, and each difference reported.

from paralelo.verify import Options, verify

report = verify(["bi_credores"], Options(check="deep"))
assert report.exit_code == 0
"""

from paralelo.verify.pairing import Wanted
from paralelo.verify.report import ExitCode, Report, TableReport
from paralelo.verify.runner import verify
from paralelo.verify.table import Options, verify_table

__all__ = ["ExitCode", "Options", "Report", "TableReport", "Wanted", "verify", "verify_table"]
