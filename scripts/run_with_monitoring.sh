#!/usr/bin/env bash
# Copy tables with recovery and live progress: see run_with_monitoring.sh --help.
set -euo pipefail
# Into the project: Python takes `paralelo` from the current folder first. By the script's own place, whatever link leads
# to it, and without CDPATH, which would make `cd` go elsewhere, and tell where.
script="$(readlink -f -- "${BASH_SOURCE[0]}")"
CDPATH='' cd -- "$(dirname -- "$script")/.."
project="$PWD"
python="$project/.venv/bin/python"
if [[ ! -x "$python" ]]; then
  echo "run_with_monitoring.sh: there is no .venv, or you may not run it; run: make setup" >&2
  exit 2
fi
installed="$(cat "$project/.venv/.installed" 2>/dev/null || true)"
if [[ -n "$installed" && "$installed" != "$project" ]]; then
  echo "run_with_monitoring.sh: this folder was moved or copied; run: make setup" >&2
  exit 2
fi
# exec: signals reach the supervisor itself.
exec "$python" -m paralelo.cli.run "$@"
