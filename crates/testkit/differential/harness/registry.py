"""The list of cases: functions in `cases/*.py` decorated with `@case`.

A case is named `<file>.<function>`, or `<topic>.<function>` if it names a topic. Its answer on the oracle is stored under
that name, so renaming either means recording again. Cases that are `nightly` run when they are asked for.
"""

import importlib.util
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Callable

SUITE = Path(__file__).resolve().parent.parent
CASES = SUITE / "cases"
TIMEOUT_SECONDS = 20.0

_registered: list["Case"] = []


@dataclass(frozen=True)
class Case:
    """One program and the limits it runs under."""

    topic: str
    name: str
    run: Callable[[Any, Any], Any]
    timeout_seconds: float
    client_specific: bool
    nightly: bool
    # Whether the rows that were read and kept in state count: which ones are depends on how far filters are pushed.
    counts: bool = True

    @property
    def id(self) -> str:
        return f"{self.topic}.{self.name}"


def case(
    function=None, *, timeout_seconds: float = TIMEOUT_SECONDS, client_specific: bool = False, topic: str | None = None,
    nightly: bool = False, counts: bool = True,
):
    """Registers `function(spark, env)` as a case; its return value is the answer.

    A `client_specific` case is answered differently by classic PySpark and the Connect client (most
    often: who notices an error, and when), so its answer is recorded through Spark's Connect server.
    """

    def register(f):
        where = topic or f.__module__.rsplit(".", 1)[-1]
        _registered.append(Case(where, f.__name__, f, timeout_seconds, client_specific, nightly, counts))
        return f

    return register if function is None else register(function)


def load(only: str | None = None, *, nightly: bool = True) -> list[Case]:
    """Imports every case file; keeps the cases whose id, topic or name matches a glob in `only` (comma separated), or,
    without `only`, all but those that are left for the night unless `nightly`."""
    _registered.clear()
    for path in sorted(CASES.glob("*.py")):
        module_name = f"cases.{path.stem}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    seen: set[str] = set()
    for c in _registered:
        if c.id in seen:
            raise ValueError(f"two cases are named {c.id}")
        seen.add(c.id)
    if only is None:
        return [c for c in _registered if nightly or not c.nightly]
    patterns = [p.strip() for p in only.split(",") if p.strip()]
    return [
        c
        for c in _registered
        if any(fnmatchcase(text, p) for p in patterns for text in (c.id, c.topic, c.name))
    ]
