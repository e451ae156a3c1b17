"""`python -m scripts.bench` (in the root of the tree): see run.py."""

import sys

from scripts.bench.run import main

sys.exit(main())
