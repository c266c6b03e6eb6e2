"""`python -m zorl`: the command line."""

import sys

from zorl.cli.main import main

sys.exit(main())
