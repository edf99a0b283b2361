"""Where a process died, told from what it left in its checkpoint.

    offsets/N        intent N            the batch runs
    state/*/N+1      state N+1           partition by partition
    _spark_metadata  output N            the sink has committed
    commits/N        done N              the next batch is constructed

A file that was being written is still there under its temporary name, `.<name>.<uuid>.tmp`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f-]{36}\.tmp")


@dataclass(frozen=True)
class Look:
    """What was there at one moment."""

    files: frozenset[str]
    temporaries: frozenset[str]

    def numbers(self, folder: str) -> set[int]:
        """The numbered files of a folder of the checkpoint."""
        names = (file.removeprefix(f"{folder}/") for file in self.files if file.startswith(f"{folder}/"))
        return {int(name.partition(".")[0]) for name in names if name.partition(".")[0].isdigit()}

    def latest(self, folder: str) -> int:
        return max(self.numbers(folder), default=-1)


class Traces:
    """A checkpoint and the output of a file sink."""

    def __init__(self, checkpoint: Path, output: Path):
        self.checkpoint, self.output = checkpoint, output

    def look(self) -> Look:
        log = self.output / "_spark_metadata"
        found = [str(p.relative_to(self.checkpoint)) for p in self.checkpoint.rglob("*") if p.is_file()]
        found += [f"output/{p.name}" for p in log.glob("*")] if log.is_dir() else []
        temporaries = {file for file in found if _TEMPORARY.fullmatch(Path(file).name)}
        return Look(frozenset(found) - temporaries, frozenset(temporaries))

    def place(self, before: Look, started: bool) -> tuple[str, int]:
        """Where a run that began at `before` has died, and in which batch."""
        now = self.look()
        offsets, commits = now.latest("offsets"), now.latest("commits")
        if not started and now == before:
            return "start-up", commits + 1
        again = "again: " if offsets > commits and before.latest("offsets") == offsets else ""
        batch = max(offsets, commits + 1)
        writing = sorted(now.temporaries - before.temporaries)
        if writing:
            return again + "writing " + kind(writing[0]), batch
        return again + _between_files(now, offsets, commits), batch


def kind(temporary: str) -> str:
    """What a temporary file was to become."""
    folder = temporary.partition("/")[0]
    name = _TEMPORARY.fullmatch(Path(temporary).name)["name"]
    if folder == "state":
        return {".delta": "a state delta", ".snapshot": "a snapshot"}.get(Path(name).suffix, "a state description")
    what = {"offsets": "the offset log", "commits": "the commit log", "sources": "a source log", "output": "the sink log"}
    return what.get(folder, name) + (", compacted" if name.endswith(".compact") else "")


def _between_files(now: Look, offsets: int, commits: int) -> str:
    if offsets <= commits:
        source = max(now.latest("sources/0"), now.latest("sources/1"))
        return "constructing a batch, source log written" if source > commits else "between batches"
    if offsets in now.numbers("output"):
        return "output committed"
    deltas = {file for file in now.files if file.startswith("state/") and file.endswith(".delta")}
    stores = {file.rpartition("/")[0] for file in deltas}
    done = sum(f"{store}/{offsets + 1}.delta" in deltas for store in stores)
    if stores and done == len(stores):
        return "state committed"
    return "committing state" if done else "running a batch"
