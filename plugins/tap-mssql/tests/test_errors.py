"""Each kind of bad input ends with one line that names what and where, and its own exit code (SPEC O2, O3)."""

from __future__ import annotations

import mssql_python
import pytest
from sync_rules.exits import Exit
from tap_mssql import errors
from tap_mssql.odbc import OdbcError

MS = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"


def ours(driver_error: str, text: str) -> Exception:
    error: Exception = mssql_python.OperationalError(driver_error=driver_error, ddbc_error=MS + text)
    return error


def theirs(state: str, text: str, number: int) -> Exception:
    """As pyodbc raises it; made by hand, since pyodbc cannot be imported where no ODBC manager is."""
    return Exception(state, f"[{state}] {MS}{text} ({number}) (SQLDriverConnect)")


def snapshot(why: str) -> Exception:
    return theirs("42000", f"Snapshot isolation transaction failed accessing database 'X' {why}", 3952)


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (ours("Invalid authorization specification", "Login failed for user 'sa'."), 2, "login failed for user sa"),
        (theirs("28000", "Login failed for user 'sa'.", 18456), 2, "login failed for user sa"),
        (
            theirs("42000", 'Cannot open database "X" requested by the login. The login failed.', 4060),
            2,
            "database X does not exist",
        ),
        (ours("Client unable to establish connection", "TCP Provider: Error code 0x2749"), 3, "cannot be reached"),
        (theirs("HYT00", "Login timeout expired", 0), 3, "cannot be reached"),
        (theirs("08001", "SSL Provider: certificate verify failed", 1), 2, "trust_server_certificate"),
        (ours("Client unable to establish connection", "Encryption not supported on SQL Server"), 2, "has no TLS"),
        (
            ours(
                "Client unable to establish connection", "Protocol Error: Server does not support encryption but client"
            ),
            2,
            "has no TLS",
        ),
        (ours("Client unable to establish connection", "SSL Provider: [Connection reset by peer]"), 3, "reset by peer"),
        (theirs("08001", "SSL Provider: [error:0A000126:SSL routines::unexpected eof]", 1), 3, "cannot be reached"),
        (theirs("08001", "SSL Provider: [error:0A000102:SSL routines::unsupported protocol]", 1), 2, "both allow"),
        (theirs("IM002", "Data source name not found", 0), 2, "odbc_driver"),
        (RuntimeError("Failed to load the driver. Please read"), 2, "libltdl7"),
        (OdbcError("IM003", "Failed to load the driver: libltdl.so.7: cannot open shared object file"), 2, "libltdl7"),
        (
            theirs("42000", "Login failed for user 'sa'. Reason: Server is in script upgrade mode.", 18401),
            3,
            "not ready yet",
        ),
        (
            ours(
                "Invalid authorization specification",
                "SHUTDOWN is in progress. Login failed for user 'sa'. Only administrators may connect at this time.",
            ),
            3,
            "not ready yet",
        ),
        (
            theirs(
                "42000",
                "Login failed for user 'sa'. Reason: Server is in single user mode. Only one administrator can"
                " connect at this time.",
                18461,
            ),
            3,
            "not ready yet",
        ),
        (theirs("28000", "Fehler bei der Anmeldung für den Benutzer 'sa'.", 18456), 2, "Fehler bei der Anmeldung"),
        (theirs("42000", "Database 'X' is being recovered. Waiting until recovery is finished.", 922), 3, "not ready"),
        (theirs("28000", "Login failed due to timeout; the connection has been closed.", 17197), 3, "not ready"),
        (
            theirs("42000", "Database 'X' cannot be opened. It is in the middle of a restore.", 927),
            3,
            "not ready",
        ),
        (
            theirs(
                "28000",
                "Login to read-secondary failed due to long wait on 'HADR_DATABASE_WAIT_FOR_TRANSITION_TO_VERSIONING'.",
                4221,
            ),
            3,
            "not ready",
        ),
        (
            theirs(
                "42000",
                "The target database ('X') is in an availability group and is currently accessible for connections when"
                " the application intent is set to read only.",
                978,
            ),
            2,
            "read intent",
        ),
        (
            theirs("28000", "Login failed for user 'sa'. Reason: The account is disabled.", 18470),
            2,
            "login failed for user sa: The account is disabled",
        ),
        (
            theirs("28000", "Login failed for user 'sa' because the account is currently locked out.", 18486),
            2,
            "login failed for user sa: the account is currently locked out",
        ),
        (
            theirs(
                "42000",
                "Cannot open server 's' requested by the login. Client with IP address '10.0.0.1' is not allowed to"
                " access the server.",
                40615,
            ),
            2,
            "its firewall",
        ),
        (
            theirs(
                "42000",
                'The server principal "sa" is not able to access the database "X" under the current security context.',
                916,
            ),
            2,
            "user sa may not open it",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_connecting(error: Exception, exit_code: int, words: str) -> None:
    found = errors.connecting(error, "host:1433", "X", "sa")
    assert found.exit == exit_code
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (theirs("42S02", "Invalid object name 'dbo.t'.", 208), 2, "dbo.t: there is no such table"),
        (ours("Base table or view not found", "Invalid object name 'dbo.t'."), 2, "no such table"),
        (theirs("42000", "The SELECT permission was denied on the object 't'", 229), 2, "no right to SELECT"),
        (theirs("42S22", "Invalid column name 'x'.", 207), 1, "the next run describes it afresh"),
        (ours("Timeout expired", "Query timeout expired"), 3, "time-out of 9 s passed"),
        (
            mssql_python.DatabaseError("An error occurred with SQLSTATE code: ", "Unknown DDBC error"),
            3,
            "without a reason",
        ),
        (ours("Function sequence error", "Function sequence error"), 3, "without a reason"),
        (ours("Communication link failure", "TCP Provider: broken"), 3, "connection was lost"),
        (theirs("08S01", "Communication link failure", 0), 3, "connection was lost"),
        (
            theirs(
                "42000",
                "A memory optimized table cannot be accessed or created when the session TRANSACTION ISOLATION LEVEL is"
                " set to SNAPSHOT.",
                41332,
            ),
            2,
            "set isolation to read_committed",
        ),
        (snapshot("because snapshot isolation is not allowed in this database."), 2, "set isolation"),
        (snapshot("because the object accessed has been modified by a DDL statement"), 3, "the next run goes on"),
        (snapshot("because the ALTER DATABASE command which enables it has not finished yet."), 3, "altered"),
        (snapshot("because the database did not allow snapshot isolation when it started"), 3, "altered"),
        (theirs("42000", "Transaction aborted when accessing versioned row in table 'dbo.t'.", 3958), 3, "tempdb"),
        (theirs("42000", "Transaction is rolled back when accessing version store.", 3966), 3, "tempdb"),
        (theirs("42000", "Insufficient space in tempdb to hold row versions.", 3967), 3, "tempdb"),
        (theirs("HY000", "Cannot continue the execution because the session is in the kill state.", 596), 3, "killed"),
        (theirs("HYT00", "Lock request time out period exceeded.", 1222), 3, "LOCK_TIMEOUT"),
        (
            theirs(
                "42000", "The SELECT permission was denied on the column 'CPF' of the object 't', database 'X'.", 230
            ),
            2,
            "its column CPF",
        ),
        (theirs("42000", "The SELECT permission was denied on the object 'inner'.", 229), 2, "inner, which it reads"),
        (
            theirs("42000", "VIEW SERVER STATE permission was denied on object 'server', database 'master'.", 300),
            2,
            "no right to VIEW SERVER STATE server, which reading it takes",
        ),
        (theirs("42000", "The EXECUTE permission was denied on the object 'f'.", 229), 2, "no right to EXECUTE f"),
        (theirs("42501", "permission denied for table t", 33557097), 2, "lacks a right: permission denied for table t"),
        (theirs("42S02", "Invalid object name 'other.dbo.inner'.", 208), 2, "it reads other.dbo.inner"),
        (theirs("42S02", "Could not find server 'LNK' in sys.servers.", 7202), 2, "linked server LNK"),
        (theirs("42000", "Could not use view or function 'dbo.t' because of binding errors.", 4413), 2, "mend it"),
        (theirs("40001", "Transaction was deadlocked on lock resources", 1205), 3, "deadlock"),
        (theirs("HY000", "Unspecified error occurred on SQL Server.", 0), 3, "gave a result up"),
        (theirs("42000", "Could not continue scan with NOLOCK due to data movement.", 601), 3, "rows were moved"),
        (theirs("42000", "A timeout occurred while waiting for memory resources to execute", 8645), 3, "memory"),
        (theirs("42000", "There is insufficient system memory in resource pool 'default'", 701), 3, "memory"),
        (theirs("HY000", "The service has encountered an error. Please try again. Error code 1", 40197), 3, "later"),
        (ours("", "The service is currently busy. Retry the request after 10 seconds."), 3, "stops or moves"),
        (ours("", "Database 'X' on server 's' is not currently available."), 3, "stops or moves"),
        (theirs("HY000", "Resource ID: 1. The request limit for the database is 60", 10928), 3, "no more requests"),
        (
            theirs(
                "42000", "Resource ID: 2. The session limit for the elastic pool is 60 and has been reached.", 10928
            ),
            3,
            "no more requests",
        ),
        (
            theirs("HY000", "The database may be offline. Wait a few minutes and try again.", 615),
            3,
            "asks to try again later",
        ),
        (theirs("HY000", "Session is terminated because you have a long-running transaction.", 40549), 3, "ended the"),
        (theirs("42000", "SHUTDOWN is in progress.", 6005), 3, "stops or moves"),
        (theirs("42000", "Database 'X' is in transition. Try the statement later.", 952), 3, "stops or moves"),
        (
            theirs("42000", "The target database, 'X', is currently not accessible for queries.", 976),
            3,
            "stops or moves",
        ),
        (
            theirs(
                "42000",
                'The server principal "u" is not able to access the database "Y" under the current security context.',
                916,
            ),
            2,
            "may not open database Y, which it reads",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_reading(error: Exception, exit_code: int, words: str) -> None:
    found = errors.reading(error, "dbo.t", 9)
    assert found.exit == exit_code
    assert words in str(found)


def test_a_value_in_the_servers_message_is_left_out() -> None:
    error = theirs("22018", "Conversion failed when converting the varchar value '123.456.789-00' to int.", 245)
    found = str(errors.reading(error, "dbo.t"))
    assert "123" not in found
    assert "varchar value '...'" in found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Conversion failed when converting the varchar value 'Ann O'Neil 7' to data type int.", "varchar value '...'"),
        ("Conversion failed when converting the varchar value 'Ann\n7' to data type int.", "varchar value '...'"),
        ("Conversion failed when converting the nvarchar value 'Ann " + 500 * "7", "nvarchar value '...'"),
        ("Arithmetic overflow error for data type tinyint, value = 777.", "tinyint, value '...'"),
        ("Truncated in table 'X', column 'y'. Truncated value: 'Ann 7'.", "column '...'. Truncated value '...'"),
    ],
)
def test_no_part_of_a_value_is_told(text: str, told: str) -> None:
    """Nothing in the server's message marks a quote within a value (SPEC O3)."""
    found = str(errors.reading(theirs("22018", text, 245), "dbo.t"))
    assert found.endswith(told)
    assert "Ann" not in found
    assert "7" not in found


def test_the_word_of_a_query_that_the_server_cannot_read_is_told() -> None:
    """Its values are bound: what stands in it is ours, and names what another kind of server lacks."""
    error = theirs("42000", "Incorrect syntax near 'APPLY'.", 102)
    assert "near 'APPLY'" in str(errors.reading(error, "dbo.t"))


def test_only_what_a_restart_can_help_is_said_to_be_so() -> None:
    assert Exit(errors.reading(theirs("08S01", "x", 0), "t").exit).restart_helps
    assert not Exit(errors.connecting(theirs("28000", "x", 0), "h", "d", "u").exit).restart_helps


@pytest.mark.parametrize(
    "text",
    ["'SYSUTCDATETIME' is not a recognized built-in function name", "Could not find stored procedure 'sp_prepexec'"],
)
def test_what_the_server_does_not_have_is_told(text: str) -> None:
    assert str(errors.reading(theirs("42000", f"{text}.", 195), "dbo.t")).endswith(text)
