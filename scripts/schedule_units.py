"""Meltano's schedules as systemd units or crontab lines: see --help."""

import sys

from paralelo.cli.units import main

if __name__ == "__main__":
    sys.exit(main())
