"""`python -m paralelo.verify`."""

import sys

from paralelo.verify.cli import main

sys.exit(main())
