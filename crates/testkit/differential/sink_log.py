"""Spark's file sink log, read the way its protocol says, by neither engine.

`<output>/_spark_metadata/N` lists the files that batch N added, `N.compact` all files up to and including batch N.
What the log does not list is not output: a batch that was killed leaves files that nobody may read.
"""

import json
from pathlib import Path
from urllib.parse import unquote


def committed_files(output: Path) -> list[Path]:
    """The files of the sink's log: the last compacted entry and every entry after it."""
    entries = {}
    for p in (output / "_spark_metadata").iterdir():
        number, _, kind = p.name.partition(".")
        if number.isdigit():
            entries[int(number), kind == "compact"] = p
    if not entries:
        raise ValueError(f"{output}/_spark_metadata has no entries")
    latest = max(number for number, _ in entries)
    start = max((number for number, compact in entries if compact), default=0)
    wanted = [entries.get((start, True)) or entries.get((start, False))]
    wanted += [entries.get((number, False)) for number in range(start + 1, latest + 1)]
    if None in wanted:
        raise ValueError(f"{output}/_spark_metadata lacks batch {start + wanted.index(None)}")
    files = [path for entry in wanted for path in added(entry)]
    repeated = {str(f) for f in files if files.count(f) > 1}
    if repeated:
        raise ValueError(f"listed twice in the sink's log: {sorted(repeated)}")
    return files


def added(entry: Path):
    """The files that one entry lists, which must be there and be of the size it says."""
    version, *lines = entry.read_text().splitlines()
    if version != "v1":
        raise ValueError(f"{entry} is of version {version}")
    for line in lines:
        add = json.loads(line)
        path = Path(unquote(add["path"].removeprefix("file://")))
        if path.stat().st_size != add["size"]:
            raise ValueError(f"{path} has {path.stat().st_size} bytes, its log entry says {add['size']}")
        yield path


def committed_lines(output: Path) -> list[str]:
    """The lines of a JSON or text output, in the order of the batches."""
    return [line for file in committed_files(output) for line in file.read_text(encoding="utf-8").splitlines()]
