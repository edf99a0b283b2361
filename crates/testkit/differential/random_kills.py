#!/usr/bin/env python3
"""A program that dies by `kill -9` at random moments, two hundred times, and what its output must be.

`programs/join_then_window.py` joins impressions with clicks and counts the pairs by window, from files to files. `run` submits
it on generated input, once undisturbed and then again and again in one folder: each time the whole process group, engine and
script, gets SIGKILL after a random while, until that has happened often enough; the last run is let through.

    spawn ──────────────► "started" ──────────────────────► the input has run dry
          start-up, kills   │  recovery, batches, commits, snapshots, compaction, kills
          of one in four    │  of three in four; more input appears meanwhile

The output, read through the `_spark_metadata` log, must have the undisturbed run's lines, each as often, and where Spark's lines
are recorded for this input, Spark's. Where each kill hit is told from what it left behind.

    python random_kills.py run    --dir /tmp/k --millstream target/ci/millstream --kills 200
    python random_kills.py run    --dir /tmp/k --provider lsm --seed 7
    python random_kills.py record --files 60                               # needs pyspark 4.3 and a JVM

The lines do not depend on how the input is cut into batches: a row is late by less than its watermark's delay, or by so much
that it is dropped wherever it comes.
"""

import argparse
import gzip
import json
import os
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness.registry import SUITE
from killed import ANSWERS, FIRST_MTIME, difference
from sink_log import committed_lines
from traces import Traces

PROGRAM = SUITE.parent / "programs" / "join_then_window.py"
SEED = 1
FILES_PER_KILL = 3
LSM = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
PROVIDERS = {"columnar": (), "lsm": (f"spark.sql.streaming.stateStore.providerClass={LSM}",)}
# Logs compact, purge and snapshot every few batches.
CONFS = (
    "spark.sql.streaming.minBatchesToRetain=3",
    "spark.sql.streaming.fileSink.log.compactInterval=3",
    "spark.sql.streaming.fileSink.log.cleanupDelay=0",
    "spark.sql.streaming.fileSource.log.compactInterval=3",
    "spark.sql.streaming.fileSource.log.cleanupDelay=0",
    "spark.sql.streaming.stateStore.minDeltasForSnapshot=2",
)
# How long after its start a query is killed, at most: some ten batches. Opening and committing trees on disk takes longer.
LIFE_S = {"columnar": 0.4, "lsm": 0.8}
TIMEOUT_S = 300


# ---- input --------------------------------------------------------------------------------------------


def generate(seed: int, files: int) -> list[dict[str, str]]:
    """The text of each input file, by folder. File n brings minutes 5n to 5n + 5, with rows up to five minutes before."""
    draw = random.Random(seed)
    return [
        {
            "impressions": lines(impression(draw, n, files) for _ in range(draw.randint(3, 20))),
            "clicks": lines(click(draw, n, files) for _ in range(draw.randint(3, 25))),
        }
        for n in range(files)
    ]


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def impression(draw, n, files):
    row = {"ImpressionID": identity(draw, n), "ImpressionTime": instant(draw, n, files)}
    return row | {"Campaigner": draw.choice(["ABC Ltd", "BDA Ltd", "Ünï Ltd"])} if draw.random() < 0.95 else row


def click(draw, n, files):
    return {"ClickID": identity(draw, n), "ClickTime": instant(draw, n, files)}


def identity(draw, n: int):
    """One of some that this file and its neighbours share, so that many rows match, some several times."""
    return None if draw.random() < 0.02 else str(5 * max(0, n - draw.choice([0, 0, 1, 2])) + draw.randint(0, 14))


def instant(draw, n: int, files: int) -> str:
    minutes = 5 * n + draw.uniform(-4.9, 5)
    if n > 12 and draw.random() < 0.03:
        minutes -= 240
    if n == files - 1:
        minutes += 24 * 60  # closes every window
    return (datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=round(minutes, 2))).strftime("%Y-%m-%dT%H:%M:%SZ")


class Input:
    """The input of one folder, of which more and more is there."""

    def __init__(self, folder: Path, files: list[dict[str, str]]):
        self.folder, self.files, self.released = folder, files, 0
        for name in files[0]:
            (folder / name).mkdir(parents=True)

    def release(self, count: int) -> None:
        """Sees to it that the first `count` files are there, each whole from the moment that it is."""
        for n in range(self.released, min(count, len(self.files))):
            for name, text in self.files[n].items():
                hidden = self.folder / name / f".{n:04}.json.writing"
                hidden.write_text(text)
                os.utime(hidden, (FIRST_MTIME + n, FIRST_MTIME + n))
                hidden.rename(self.folder / name / f"{n:04}.json")
            self.released = n + 1


# ---- runs ---------------------------------------------------------------------------------------------


@dataclass
class Kills:
    """What happened to a program that was killed again and again."""

    killed: int = 0
    through: int = 0
    places: Counter = field(default_factory=Counter)
    batches: set = field(default_factory=set)
    startups: list[float] = field(default_factory=list)

    def startup(self) -> float:
        """How long a program takes until its query has started."""
        return statistics.median(self.startups[-9:]) if self.startups else 1.0

    def told(self) -> str:
        where = [f"  {n:4}  {place}" for place, n in sorted(self.places.items(), key=lambda item: -item[1])]
        summary = f"killed {self.killed} times in {len(self.batches)} different batches, ended by itself {self.through} times"
        return "\n".join([summary, *where])


class Submitted:
    """One run of the program, in a process group of its own."""

    def __init__(self, millstream: str, folder: Path, provider: str):
        confs = (*CONFS, *PROVIDERS[provider], f"spark.local.dir={folder / 'local'}")
        words = [word for conf in confs for word in ("--conf", conf)]
        environment = {**os.environ, "TZ": "UTC"}
        environment.setdefault("MILLSTREAM_PYTHON", sys.executable)
        self.errors = (folder / "stderr.txt").open("w+")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [millstream, "submit", *words, PROGRAM], cwd=folder, stdout=subprocess.PIPE, stderr=self.errors,
            env=environment, start_new_session=True,
        )

    def wait(self, seconds: float) -> bool:
        """Waits so long, or until the program says something or ends; whether it did."""
        return bool(select.select([self.process.stdout], [], [], max(0.0, seconds))[0])

    def started(self) -> bool:
        """Waits until the query has started; false if the program ended instead."""
        if not self.wait(TIMEOUT_S):
            self.kill()
            raise RuntimeError(f"no query within {TIMEOUT_S} s\n{self.stderr()}")
        return self.process.stdout.readline() == b"started\n"

    def kill(self) -> bool:
        """Whether this is what ended it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.finish() == -signal.SIGKILL

    def finish(self) -> int:
        try:
            code = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.process.stdout.close()
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"code {code}\n{self.stderr()}")
        return code

    def stderr(self) -> str:
        self.errors.seek(0)
        return self.errors.read()


def run_undisturbed(millstream: str, folder: Path, provider: str, files) -> list[str]:
    Input(folder, files).release(len(files))
    program = Submitted(millstream, folder, provider)
    if program.finish() != 0:
        raise RuntimeError("the undisturbed run was killed")
    return committed_lines(folder / "output")


def run_killed(millstream: str, folder: Path, provider: str, files, kills: int, seed: int) -> tuple[list[str], Kills]:
    """The output of a program that is killed `kills` times on its way."""
    draw, given, told = random.Random(seed), Input(folder, files), Kills()
    traces = Traces(folder / "chk-point-dir", folder / "output")
    while told.killed < kills:
        # Some of the input is there, some appears while the program runs.
        due = 1 + len(files) * (told.killed + 1) // (kills + 1)
        given.release(draw.randint(given.released, max(given.released, due)))
        if provider == "lsm" and draw.random() < 0.1:
            # As if the program went on on another machine.
            shutil.rmtree(folder / "local", ignore_errors=True)
        before = traces.look()
        program = Submitted(millstream, folder, provider)
        started = await_moment(draw, program, told, LIFE_S[provider], lambda: given.release(due))
        if program.kill():
            told.killed += 1
            place, batch = traces.place(before, started)
            told.places[place] += 1
            told.batches.add(batch)
        else:
            told.through += 1
            if told.through > 5 * kills:
                raise RuntimeError(f"ended by itself {told.through} times, killed {told.killed} times only")
    given.release(len(files))
    if Submitted(millstream, folder, provider).finish() != 0:
        raise RuntimeError("somebody else killed the last run")
    return committed_lines(folder / "output"), told


def await_moment(draw, program: Submitted, told: Kills, life_s: float, more_input) -> bool:
    """Lets a random while pass, in which the rest of the input appears; whether the query has started."""
    kind, startup = draw.random(), told.startup()
    if kind < 0.25 and told.startups:
        # One half anywhere in the start-up, the other where the query recovers.
        while_s = draw.uniform(0, startup) if kind < 0.125 else draw.uniform(0.9, 1.1) * startup
        if not program.wait(while_s):
            return False
    if not program.started():
        return False
    told.startups.append(time.monotonic() - program.began)
    while_s = draw.uniform(0, life_s)
    appears = draw.uniform(0, while_s)
    if not program.wait(appears):
        more_input()
        program.wait(while_s - appears)
    return True


# ---- phases -------------------------------------------------------------------------------------------


def answer_file(files: int) -> Path:
    return ANSWERS / f"join_then_window-{files}.jsonl.gz"


def check(expected: list[str], got: list[str], against: str) -> None:
    told = difference(expected, got)
    if told:
        raise AssertionError(f"other lines than {against}:\n{told}")


def compare(millstream: str, root: Path, provider: str, kills: int, seed: int = SEED, files: int = 0) -> Kills:
    """Runs the program undisturbed and killed; raises if the outputs differ."""
    files = files or FILES_PER_KILL * kills
    given = generate(seed, files)
    straight = run_undisturbed(millstream, root / f"{provider}-undisturbed", provider, given)
    if seed == SEED and answer_file(files).exists():
        check(gzip.decompress(answer_file(files).read_bytes()).decode().splitlines(), straight, "Spark's")
    got, told = run_killed(millstream, root / f"{provider}-killed", provider, given, kills, seed)
    check(straight, got, "the undisturbed run's")
    if not straight:
        raise AssertionError("no output at all")
    if kills >= 100 and len(told.places) < 6:
        raise AssertionError(f"the kills are not spread:\n{told.told()}")
    return told


def run(chosen) -> int:
    for provider in [chosen.provider] if chosen.provider else PROVIDERS:
        began = time.monotonic()
        told = compare(
            str(Path(chosen.millstream).resolve()), chosen.dir.resolve(), provider, chosen.kills, chosen.seed, chosen.files
        )
        print(f"{provider}, seed {chosen.seed}: {told.told()}\n  the output is the undisturbed run's ({time.monotonic() - began:.0f} s)", flush=True)
    return 0


def record(chosen) -> int:
    """Spark's lines for the input of `SEED`."""
    root = Path(tempfile.mkdtemp(prefix="killed-")).resolve()
    Input(root, generate(SEED, chosen.files)).release(chosen.files)
    environment = {**os.environ, "TZ": "UTC", "SPARK_LOCAL_IP": "127.0.0.1"}
    subprocess.run([sys.executable, PROGRAM], cwd=root, check=True, env=environment)
    told = sorted(committed_lines(root / "output"))
    text = "".join(line + "\n" for line in told).encode()
    answer_file(chosen.files).write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(told)} lines")
    shutil.rmtree(root)
    return 0


def main() -> int:
    phases = {f.__name__: f for f in (run, record)}
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("phase", choices=phases)
    arguments.add_argument("--dir", type=Path, help="run: where, a folder that will be made")
    arguments.add_argument("--millstream", default=str(SUITE.parents[2] / "target/debug/millstream"), help="the binary")
    arguments.add_argument("--provider", choices=PROVIDERS, help="run: one state store provider only")
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--files", type=int, default=0, help="input files of each stream")
    chosen = arguments.parse_args()
    if chosen.phase == "run" and chosen.dir is None:
        arguments.error("run needs --dir")
    return phases[chosen.phase](chosen)


if __name__ == "__main__":
    sys.exit(main())
