"""`python -m bench` (with scripts/ on the module path): see run.py."""

import sys

from .run import main

sys.exit(main())
