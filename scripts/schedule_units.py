"""Meltano's schedules as systemd units or crontab lines: see --help."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.units import main

if __name__ == "__main__":
    sys.exit(main())
