"""What the differential suite is made of, apart from the cases themselves.

`registry` collects the cases, `environment` is what a case is handed, `streams` drives a streaming
query step by step, `answer` turns rows and errors into comparable text, and `execution` runs one
case under a time limit in a session of its own.
"""

from harness.environment import Environment
from harness.registry import case

__all__ = ["Environment", "case"]
