"""Running cases: a fresh session, an empty scratch directory and a time limit for each.

A case runs on a thread of its own. When it overruns, its session's queries are stopped and the
thread is left behind (a blocked call cannot be cancelled from outside); the next case has a session
and a directory of its own and is not disturbed.
"""

import os
import shutil
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from harness import answer
from harness.environment import Environment
from harness.registry import SUITE, Case

DATA = SUITE.parent / "data"


@dataclass(frozen=True)
class Outcome:
    """The answer of a case, or why there is none."""

    answer: object | None
    failure: str | None
    seconds: float


def in_utc() -> None:
    """Python converts timestamps to its own zone; pin it, whatever the machine is set to."""
    os.environ["TZ"] = "UTC"
    time.tzset()


def run(case: Case, new_session, *, timeout_seconds: float | None = None) -> Outcome:
    """Runs `case` in a session from `new_session()` and returns its stable answer."""
    scratch = Path(tempfile.mkdtemp(prefix="differential-")).resolve()
    replacements = {f"file://{scratch}": "file:<scratch>", f"file:{scratch}": "file:<scratch>", str(scratch): "<scratch>", str(DATA): "<data>"}
    kept: dict = {}

    def body():
        try:
            kept["spark"] = spark = new_session()
            kept["answer"] = answer.stable(case.run(spark, Environment(spark, scratch, DATA)), replacements)
        except BaseException:
            kept["failure"] = traceback.format_exc()
        finally:
            if "spark" in kept:
                stop_queries(kept["spark"])

    started = time.monotonic()
    thread = threading.Thread(target=body, name=case.id, daemon=True)
    thread.start()
    limit = timeout_seconds or case.timeout_seconds
    thread.join(limit)
    seconds = time.monotonic() - started
    if thread.is_alive():
        return Outcome(None, f"no answer within {limit:g} s", seconds)
    shutil.rmtree(scratch, ignore_errors=True)
    if "failure" in kept:
        return Outcome(None, str(answer.stable(kept["failure"], replacements)), seconds)
    return Outcome(kept["answer"], None, seconds)


def stop_queries(spark) -> None:
    """Stops what the case left running; a server that cannot say has nothing to stop."""
    try:
        for query in spark.streams.active:
            query.stop()
    except Exception:
        pass
