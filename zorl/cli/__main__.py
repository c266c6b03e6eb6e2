"""`python -m zorl.cli`."""

import sys

from zorl.cli.main import main

sys.exit(main())
