#!/usr/bin/env python3
"""A checkpoint begun by one engine and resumed by another.

A stateless query runs from files to files twice: `first` over the first half of the input, `second`,
with the same checkpoint and output, over the rest, each with whatever engine it is told. `check` then
reads the output as any reader of Spark's file sink must, through the `_spark_metadata` log, and holds it
against what Spark writes when it runs both halves: no row doubled, none lost, none different.

    python resume.py first  --query json --dir /tmp/r --master 'local[2]'            # Spark begins
    python resume.py second --query json --dir /tmp/r --remote sc://127.0.0.1:15002  # Millstream goes on
    python resume.py check  --query json --dir /tmp/r

    python resume.py thaw   --query json --dir /tmp/r     # instead of `first`: Spark 4.3.0's, from the repository
    python resume.py freeze --query json --master 'local[2]'    # makes that one anew
    python resume.py record --query json --master 'local[2]'    # makes the expected rows anew

    # Millstream begins, Spark goes on: all queries, undisturbed and after a crash, before and after a compaction
    python resume.py handover --dir /tmp/r --remote sc://127.0.0.1:15002 --client .venv/bin/python --master 'local[2]'

`--crash` in the second phase first removes the last commit, as if the first engine had died after
writing its output: the batch must run again, with the same offsets and state, and count once.

Both halves run more than ten batches in all, so the second engine meets (or writes) compacted source and
sink logs, `9.compact`; with `--begin 11` the first one writes them. The two queries: `json` filters and projects, JSON to JSON; `parquet` parses lines, text to
Parquet. State has a format of each engine's own, so a stateful query's checkpoint does not move.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import answer, execution
from harness.registry import SUITE
from sink_log import committed_files

VERSION = "spark-4.3.0"
FROZEN = SUITE / "checkpoints" / VERSION
EXPECTED = SUITE / "answers" / VERSION / "resume" / "expected.json"
ROOT_MARK = "@ROOT@"
FIRST_HALF, FILES = 6, 12
FIRST_MTIME = 1_600_000_000


def event(minute: int, k: str | None, v: int) -> dict:
    return {"ts": f"2024-01-01T{10 + minute // 60:02}:{minute % 60:02}:00Z", "k": k, "v": v}


def input_events() -> list[list[dict]]:
    """One list per file: five minutes apart, with repeats, late rows and a NULL key."""
    files = []
    for n in range(FILES):
        files.append([
            event(5 * n, "a", n), event(5 * n + 1, "b", 10 * n), event(5 * n, "a", n),  # the third repeats the first
            event(max(0, 5 * n - 7), "a", 100), event(5 * n + 2, None, 1),
        ])
    files[7].append(event(0, "late", 1000))
    files[FILES - 1].append(event(600, "end", 1))
    return files


def write_input(root: Path, numbers) -> None:
    (root / "in").mkdir(parents=True, exist_ok=True)
    for n in numbers:
        target = root / "in" / f"{n:02}.json"
        target.write_text("".join(json.dumps(e) + "\n" for e in input_events()[n]))
        os.utime(target, (FIRST_MTIME + n, FIRST_MTIME + n))


def query_json(spark, root: Path):
    from pyspark.sql import functions as F

    events = spark.readStream.schema("ts timestamp, k string, v long").option("maxFilesPerTrigger", 1).json(str(root / "in"))
    return events.where("v < 1000").select("ts", F.upper("k").alias("k"), (F.col("v") * 2).alias("twice")), "json"


def query_parquet(spark, root: Path):
    from pyspark.sql import functions as F

    lines = spark.readStream.option("maxFilesPerTrigger", 1).text(str(root / "in"))
    events = lines.select(F.from_json("value", "ts timestamp, k string, v long").alias("e")).select("e.*")
    return events.where("k is not null"), "parquet"


QUERIES = {"json": query_json, "parquet": query_parquet}


def run(spark, name: str, root: Path) -> None:
    df, fmt = QUERIES[name](spark, root)
    query = df.writeStream.format(fmt).option("path", str(root / "out")).option("checkpointLocation", str(root / "chk")) \
        .trigger(availableNow=True).start()
    query.awaitTermination()


def session(chosen):
    execution.in_utc()
    if chosen.remote:
        from replay import connect

        os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
        return connect(chosen.remote)
    from record import oracle

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    return oracle(chosen.master)


def first(chosen, root: Path) -> None:
    write_input(root, range(chosen.begin))
    run(session(chosen), chosen.query, root)


def second(chosen, root: Path) -> None:
    if chosen.crash:
        forget_last_commit(root / "chk")
    write_input(root, range(chosen.begin, FILES))
    run(session(chosen), chosen.query, root)


def handover(chosen, root: Path) -> int:
    """Every query begun by Millstream, through a client's Python of its own, and finished by this process's Spark."""
    wrong = 0
    remote, chosen.remote = chosen.remote, None
    for chosen.query, chosen.begin, chosen.crash in itertools.product(sorted(QUERIES), (FIRST_HALF, FILES - 1), (False, True)):
        folder = root / f"{chosen.query}-{chosen.begin}{'-crash' if chosen.crash else ''}"
        begin = [__file__, "first", "--query", chosen.query, "--dir", str(folder), "--begin", str(chosen.begin), "--remote", remote]
        subprocess.run([chosen.client, *begin], check=True)
        last = max(int(p.name) for p in (folder / "chk/commits").iterdir() if p.name.isdigit())
        second(chosen, folder)
        print(f"{folder.name}: batches 0 to {last} by Millstream, then Spark: ", end="", flush=True)
        wrong += check(chosen, folder)
    return 1 if wrong else 0


def forget_last_commit(checkpoint: Path) -> None:
    last = max((p for p in (checkpoint / "commits").iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    last.unlink()
    last.with_name(f".{last.name}.crc").unlink(missing_ok=True)


def output_rows(name: str, root: Path) -> list:
    rows = []
    for file in committed_files(root / "out"):
        if name == "json":
            rows += [json.loads(line) for line in file.read_text().splitlines()]
        else:
            import pyarrow.parquet

            rows += [in_utc(row) for row in pyarrow.parquet.ParquetFile(file).read().to_pylist()]
    return sorted(([[k, answer.value(v)] for k, v in row.items() if v is not None] for row in rows), key=json.dumps)


def in_utc(row: dict) -> dict:
    """Spark writes instants as INT96 without a zone, Millstream as microseconds in UTC: one instant either way."""
    return {k: v.replace(tzinfo=None) if getattr(v, "tzinfo", None) else v for k, v in row.items()}


def check(chosen, root: Path) -> int:
    expected = json.loads(EXPECTED.read_text())[chosen.query]
    got = answer.stable(output_rows(chosen.query, root), {})
    lost, doubled = [r for r in expected if r not in got], answer.added(expected, got)
    for row in lost:
        print(f"missing     {json.dumps(row)}")
    for row in doubled:
        print(f"unexpected  {json.dumps(row)}")
    print(f"{len(got)} rows, {len(lost)} missing, {len(doubled)} unexpected")
    return 1 if lost or doubled else 0


def record(chosen, _root) -> None:
    """Both halves on Spark; their rows are what every other pair of engines must give."""
    root = Path(tempfile.mkdtemp(prefix="resume-")).resolve()
    first(chosen, root)
    chosen.crash = False
    second(chosen, root)
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    expected[chosen.query] = output_rows(chosen.query, root)
    EXPECTED.parent.mkdir(parents=True, exist_ok=True)
    EXPECTED.write_text(answer.dump(dict(sorted(expected.items()))) + "\n")
    print(f"{len(expected[chosen.query])} rows")


def text_logs(root: Path):
    """The files of a checkpoint and a sink that hold absolute paths."""
    for folder in (root / "chk/sources/0", root / "out/_spark_metadata"):
        yield from (p for p in folder.iterdir() if not p.name.startswith("."))


def freeze(chosen, _root) -> None:
    """Runs the first half on Spark and keeps its checkpoint and output, paths replaced by a mark.
    Hadoop's `.crc` side files go: they would no longer match, and are optional."""
    root = Path(tempfile.mkdtemp(prefix="resume-")).resolve()
    first(chosen, root)
    for p in text_logs(root):
        p.write_text(p.read_text().replace(str(root), ROOT_MARK))
    for p in list(root.rglob(".*.crc")):
        p.unlink()
    shutil.rmtree(FROZEN / chosen.query, ignore_errors=True)
    shutil.copytree(root, FROZEN / chosen.query)


def thaw(chosen, root: Path) -> None:
    """Lays the stored first half out under `root`, as if it had been written there."""
    shutil.copytree(FROZEN / chosen.query, root, dirs_exist_ok=True)
    for p in text_logs(root):
        p.write_text(p.read_text().replace(ROOT_MARK, str(root)))
    write_input(root, range(FIRST_HALF))


def main() -> int:
    phases = {f.__name__: f for f in (first, second, check, handover, record, freeze, thaw)}
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("phase", choices=phases)
    arguments.add_argument("--query", choices=sorted(QUERIES), help="all but handover need it")
    arguments.add_argument("--dir", type=Path, help="where input, checkpoint and output live")
    arguments.add_argument("--master", default="local[2]", help="classic Spark, the default engine")
    arguments.add_argument("--remote", help="a Connect server instead")
    arguments.add_argument("--crash", action="store_true", help="second: forget the last commit first")
    arguments.add_argument("--begin", type=int, default=FIRST_HALF, help=f"of {FILES} files, how many the first engine meets")
    arguments.add_argument("--client", help="handover: the Python that has pyspark-client")
    chosen = arguments.parse_args()
    if chosen.phase == "handover":
        if not (chosen.remote and chosen.client):
            arguments.error("handover needs --remote and --client")
    elif chosen.query is None:
        arguments.error(f"{chosen.phase} needs --query")
    if chosen.dir is None and chosen.phase not in ("record", "freeze"):
        arguments.error(f"{chosen.phase} needs --dir")
    return phases[chosen.phase](chosen, chosen.dir and chosen.dir.resolve()) or 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
