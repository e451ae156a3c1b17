"""The benchmark: the same work natively, under PyLibOS and under PRoot, in turn, in one run.

`scripts/bench/bench --help` is the way in. Needs only the standard library, a C compiler with a static libc, and the programs
that are measured; what is missing on a machine is reported and left out, never guessed.
"""
