"""PyLibOS: runs unmodified Linux programs under a library OS written in Python. ARCHITECTURE.md is the map."""

__version__ = "0.1.0"
