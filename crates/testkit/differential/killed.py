#!/usr/bin/env python3
"""Programs that are killed at every fault point and started again, and what their output must be.

Each program reads files and writes files, one input file a batch. `record` runs it undisturbed on Spark; `run` submits
it to Millstream in a folder per fault point, where the process aborts at that point, in the first batch, and again in
every later run, each time a batch further into the run, until a run gets through; `check` holds every folder's output,
read through the `_spark_metadata` log, against the recorded lines, each of which must be there once.

    python killed.py record --program invoices                                  # needs pyspark 4.3 and a JVM
    python killed.py run    --program invoices --dir /tmp/k --millstream target/debug/millstream
    python killed.py check  --program invoices --dir /tmp/k                     # read by this script
    python killed.py check  --program invoices --dir /tmp/k --remote sc://...   # read by Millstream
    python killed.py check  --program invoices --dir /tmp/k --master 'local[2]' # read by Spark

Fault points exist in debug builds only.
"""

import argparse
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.registry import SUITE
from sink_log import committed_lines

sys.path.insert(0, str(SUITE.parent / "programs"))
from prepare import prepare  # noqa: E402

ANSWERS = SUITE / "answers" / "spark-4.3.0" / "killed"
FIRST_MTIME = 1_600_000_000

# Every batch compacts, purges and snapshots, so that a handful of them meets all there is.
CONFS = (
    "spark.sql.streaming.minBatchesToRetain=1",
    "spark.sql.streaming.fileSink.log.compactInterval=2",
    "spark.sql.streaming.fileSink.log.cleanupDelay=0",
    "spark.sql.streaming.fileSource.log.compactInterval=2",
    "spark.sql.streaming.fileSource.log.cleanupDelay=0",
    "spark.sql.streaming.stateStore.minDeltasForSnapshot=1",
)
LOG_POINTS = (
    "before-source-log-write", "after-source-log-write", "before-offset-write", "after-offset-write", "mid-batch",
    "before-sink-commit", "mid-sink-commit", "after-sink-commit", "before-commit-log", "after-commit-log",
    "source-commit", "mid-purge",
)
STATE_POINTS = ("before-state-commit", "mid-state-commit", "after-state-commit", "snapshot-write")


@dataclass(frozen=True)
class Program:
    """One of `programs/`, with what is changed in its text and added to its input."""

    file: str
    edits: tuple[tuple[str, str], ...]
    points: tuple[str, ...]
    more_input: tuple[tuple[str, str], ...] = ()
    # State is committed partition by partition, so its points are passed this often in a batch.
    partitions: int = 1


AT_ONCE = ('.trigger(processingTime="1 minute")', ".trigger(availableNow=True)")
INVOICES = Program(
    "invoice_flatten",
    (
        AT_ONCE,
        (
            '.option("maxFilesPerTrigger", 1)',
            '.option("maxFilesPerTrigger", 1).option("cleanSource", "archive").option("sourceArchiveDir", "archive")',
        ),
    ),
    LOG_POINTS,
)
TRADES = Program(
    "trades_window",
    (
        AT_ONCE,
        ('.format("console")', '.format("json").option("path", "output")'),
        ('.outputMode("update")', '.outputMode("append")'),
        ('"spark.sql.shuffle.partitions", 1', '"spark.sql.shuffle.partitions", 2'),
    ),
    STATE_POINTS + ("after-offset-write", "mid-sink-commit", "before-commit-log"),
    # Two later trades, so that the windows of the others close one after the other.
    (
        ("trade-97.txt", '{"CreatedTime": "2019-02-05 11:20:00", "Type": "BUY", "Amount": 7, "BrokerCode": "ABX"}\n'),
        ("trade-98.txt", '{"CreatedTime": "2019-02-05 10:31:00", "Type": "SELL", "Amount": 9, "BrokerCode": "ABX"}\n'),
        ("trade-99.txt", '{"CreatedTime": "2019-02-06 10:00:00", "Type": "BUY", "Amount": 1, "BrokerCode": "ABX"}\n'),
    ),
    partitions=2,
)
PROGRAMS = {"invoices": INVOICES, "trades": TRADES}


def lay_out(program: Program, folder: Path) -> Path:
    """The program and its input in a folder of their own; returns the program's path."""
    path = prepare(program.file, folder)
    text = path.read_text()
    for old, new in program.edits:
        if text.count(old) != 1:
            raise ValueError(f"{path} has {text.count(old)} times {old!r}, not once")
        text = text.replace(old, new)
    path.write_text(text)
    for name, content in program.more_input:
        (folder / "input" / name).write_text(content)
    for n, file in enumerate(sorted((folder / "input").iterdir())):
        os.utime(file, (FIRST_MTIME + n, FIRST_MTIME + n))
    return path


@dataclass(frozen=True)
class Run:
    """One submission."""

    code: int
    stderr: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGABRT and "aborting the process" in self.stderr


def submit(millstream: str, path: Path, fault: str = "", timeout: float = 120) -> Run:
    confs = [word for conf in CONFS for word in ("--conf", conf)]
    environment = {**os.environ, "TZ": "UTC", "MILLSTREAM_FAULT": fault}
    environment.setdefault("MILLSTREAM_PYTHON", sys.executable)
    done = subprocess.run(
        [millstream, "submit", *confs, path.name], cwd=path.parent, capture_output=True, text=True, timeout=timeout,
        env=environment,
    )
    return Run(done.returncode, done.stderr)


def run_until_done(millstream: str, program: Program, folder: Path, point: str = "") -> int:
    """Submits the program in `folder`, killed at `point` again and again, until it gets through; how often it died."""
    path = lay_out(program, folder)
    deaths = 0
    while True:
        # A run that always dies before it has done anything would die for ever.
        fault = f"{point}:{1 + deaths * program.partitions}" if point else ""
        done = submit(millstream, path, fault)
        if done.code == 0:
            return deaths
        if not (point and done.killed):
            raise RuntimeError(f"{folder}: code {done.code}\n{done.stderr}")
        deaths += 1
        if deaths > 20:
            raise RuntimeError(f"{folder}: killed {deaths} times at {point} and no end")


def run_matrix(millstream: str, program: Program, root: Path) -> dict[str, int]:
    """Runs the program undisturbed and at each of its fault points; the deaths of each."""
    points = ("", *program.points)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        deaths = pool.map(lambda point: run_until_done(millstream, program, root / (point or "straight"), point), points)
        return dict(zip(points, deaths))


def expected_lines(name: str) -> list[str]:
    return gzip.decompress((ANSWERS / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()


def difference(expected: list[str], got: list[str]) -> str:
    """Empty if both have the same lines equally often."""
    lost, added = Counter(expected) - Counter(got), Counter(got) - Counter(expected)
    told = [f"missing {n} times: {line}" for line, n in lost.items()] + [f"{n} too many: {line}" for line, n in added.items()]
    if not told:
        return ""
    return f"{lost.total()} missing, {added.total()} unexpected\n" + "\n".join(told[:6])


def record(chosen) -> int:
    """Spark's lines, in the order of its batches."""
    root = Path(tempfile.mkdtemp(prefix="killed-")).resolve()
    path = lay_out(PROGRAMS[chosen.program], root)
    environment = {**os.environ, "TZ": "UTC", "SPARK_LOCAL_IP": "127.0.0.1"}
    subprocess.run([sys.executable, path.name], cwd=root, check=True, env=environment)
    lines = committed_lines(root / "output")
    ANSWERS.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\n" for line in lines).encode()
    (ANSWERS / f"{chosen.program}.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(lines)} lines")
    shutil.rmtree(root)
    return 0


def run(chosen) -> int:
    program = PROGRAMS[chosen.program]
    for point, deaths in run_matrix(str(Path(chosen.millstream).resolve()), program, chosen.dir).items():
        print(f"{point or 'undisturbed':26} killed {deaths} times")
    return 0


def check(chosen) -> int:
    expected, failed = expected_lines(chosen.program), 0
    reader = engine_reader(chosen)
    for folder in sorted(chosen.dir.iterdir()):
        told = difference(expected, reader(folder / "output"))
        failed += bool(told)
        print(f"{folder.name:26} {told or f'{len(expected)} lines, each once'}")
    return 1 if failed else 0


def engine_reader(chosen):
    """What reads a text output: an engine, which finds `_spark_metadata` by itself, or this script."""
    if not (chosen.master or chosen.remote):
        return committed_lines
    if chosen.remote:
        from replay import connect

        os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
        spark = connect(chosen.remote)
    else:
        from record import oracle

        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        spark = oracle(chosen.master)
    return lambda output: [row.value for row in spark.read.text(str(output)).collect()]


def main() -> int:
    phases = {f.__name__: f for f in (record, run, check)}
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("phase", choices=phases)
    arguments.add_argument("--program", choices=sorted(PROGRAMS), required=True)
    arguments.add_argument("--dir", type=Path, help="a folder with a folder per fault point")
    arguments.add_argument("--millstream", default=str(SUITE.parents[2] / "target/debug/millstream"), help="the binary")
    arguments.add_argument("--master", help="check: read with classic Spark")
    arguments.add_argument("--remote", help="check: read through a Connect server")
    chosen = arguments.parse_args()
    if chosen.phase != "record":
        if chosen.dir is None:
            arguments.error(f"{chosen.phase} needs --dir")
        chosen.dir = chosen.dir.resolve()
    return phases[chosen.phase](chosen)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
