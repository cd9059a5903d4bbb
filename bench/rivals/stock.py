"""The stock Singer target, fed JSON records by our tap: `stock.py TAP TARGET default|tuned`, a shell's pipe between."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

e = os.environ
tap_program, target_program, kind = sys.argv[1:]
tap = {
    "host": e["TAP_MSSQL_HOST"],
    "port": int(e["TAP_MSSQL_PORT"]),
    "user": e["TAP_MSSQL_USER"],
    "password": e["TAP_MSSQL_PASSWORD"],
    "database": e["TAP_MSSQL_DATABASE"],
    "trust_server_certificate": True,
    "tables": [f"dbo.{e['BENCH_TABLE']}"],
    "key_columns": ["id"],
    "cursor_column": "mod_ts",
    "sync_mode": "full",
}
target = {
    "host": e["TARGET_POSTGRES_HOST"],
    "port": int(e["TARGET_POSTGRES_PORT"]),
    "user": e["TARGET_POSTGRES_USER"],
    "password": e["TARGET_POSTGRES_PASSWORD"],
    "database": e["TARGET_POSTGRES_DATABASE"],
    "default_target_schema": "bench_stock",
}
if kind == "tuned":
    target |= {
        "use_copy": True,
        "validate_records": False,
        "add_record_metadata": False,
        "batch_size_rows": 50_000,
        "activate_version": False,
    }


def written(folder: str, name: str, config: dict) -> str:
    """A settings file that only its owner can read."""
    path = Path(folder) / name
    path.touch(0o600)
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


with tempfile.TemporaryDirectory() as folder:
    feed = subprocess.Popen([tap_program, "--config", written(folder, "tap.json", tap)], stdout=subprocess.PIPE)
    load = subprocess.Popen(
        [target_program, "--config", written(folder, "target.json", target)],
        stdin=feed.stdout,
        stdout=subprocess.DEVNULL,
    )
    assert feed.stdout is not None
    feed.stdout.close()
    ended = load.wait(), feed.wait()
sys.exit(max(abs(code) for code in ended))
