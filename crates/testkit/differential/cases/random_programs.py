"""Random streaming programs: a hundred of the first generation, see `harness/random_programs.py`, and 400 of the second,
see `harness/wide_programs.py`, which are for the night. Of the second, rows, watermarks and late rows must be Spark's; how many rows
were read and are kept depends on how far the optimizer pushes and infers filters and semi joins, and is left out."""

from harness import case
from harness import random_programs, wide_programs

FIRST = 100
SECOND = range(100, 500)

for seed in [*range(FIRST), *SECOND]:
    first = seed < FIRST
    run = (random_programs if first else wide_programs).program(seed)
    run.__name__ = f"seed_{seed:03}"
    run.__module__ = __name__
    topic = "random_programs" if first else f"random_programs_{seed // 100 * 100}"
    case(timeout_seconds=60, topic=topic, nightly=not first, counts=first)(run)
