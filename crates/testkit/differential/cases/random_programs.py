"""A hundred random streaming programs, see `harness/random_programs.py`."""

from harness import case
from harness.random_programs import program

for seed in range(100):
    run = program(seed)
    run.__name__ = f"seed_{seed:03}"
    run.__module__ = __name__
    case(timeout_seconds=60)(run)
