#!/usr/bin/env bash
# Copy tables with recovery and live progress: see run_with_monitoring.sh --help.
set -euo pipefail
project="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$project/.venv/bin/python"
if [[ ! -x "$python" ]]; then
  echo "run_with_monitoring.sh: there is no .venv; run: make setup" >&2
  exit 2
fi
# exec: signals reach the supervisor itself.
exec "$python" -m paralelo.cli.run "$@"
