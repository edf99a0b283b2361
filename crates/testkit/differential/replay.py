#!/usr/bin/env python3
"""Runs the cases through Spark Connect and compares with what real Spark answered.

    python replay.py --remote sc://127.0.0.1:15002
    python replay.py --remote sc://127.0.0.1:15002 --only 'watermark.*' --json report.json

Needs `pyspark-client` only. Prints a unified diff per differing case and ends with
`N passed, N failed`; the exit code is 1 when a case differs, 2 when there is nothing to compare.

With `--jobs N` so many processes run a case each, in sessions of one server. A case that differs runs again after all others,
alone: directory polling may cut input into other batches on a busy machine, a real difference differs again.
"""

import argparse
import difflib
import json
import logging
import multiprocessing
import os
import sys
from pathlib import Path

from harness import answer, execution, registry

SETTINGS = {"spark.sql.shuffle.partitions": "2", "spark.sql.session.timeZone": "UTC"}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--remote", default=os.environ.get("SPARK_REMOTE"))
    arguments.add_argument("--answers", type=Path, default=latest_answers(), help="folder of recorded answers")
    arguments.add_argument("--only", help="globs over case ids, topics or names, comma separated")
    arguments.add_argument("--nightly", action="store_true", help="all cases, those for the night as well")
    arguments.add_argument(
        "--known", type=Path, help="a file of case ids that are known to differ; any other difference is a failure"
    )
    arguments.add_argument("--timeout", type=float, help="seconds per case (default: the case's own)")
    arguments.add_argument("--jobs", type=int, default=1, help="cases at a time")
    arguments.add_argument("--conf", action="append", default=[], help="key=value for every session")
    arguments.add_argument("--json", type=Path, help="where to write a machine-readable report")
    arguments.add_argument("--diff-lines", type=int, default=60, help="lines of a diff to print")
    chosen = arguments.parse_args()
    if chosen.remote is None:
        arguments.error("--remote or SPARK_REMOTE must name the server, for example sc://127.0.0.1:15002")

    prepare(chosen)
    cases = registry.load(chosen.only, nightly=chosen.nightly)
    listed = read_known(chosen.known)
    report = run_all([case.id for case in cases], chosen)
    for n, entry in enumerate(report):
        if (chosen.known or chosen.jobs > 1) and not entry["passed"] and entry["case"] not in listed:
            report[n] = replay(entry["case"])
    for entry in report:
        for line in entry["diff"][: chosen.diff_lines]:
            print(line)
        if len(entry["diff"]) > chosen.diff_lines:
            print(f"... {len(entry['diff']) - chosen.diff_lines} more lines")
    known = listed
    ran = {entry["case"] for entry in report}
    surprises = [entry["case"] for entry in report if not entry["passed"] and entry["case"] not in known]
    settled = [entry["case"] for entry in report if entry["passed"] and entry["case"] in known]
    passed = sum(entry["passed"] for entry in report)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    for entry in report:
        if not entry["passed"]:
            print(f"failed: {entry['case']}  ({entry['equal']} of {entry['answers']} answers equal)")
    if chosen.known:
        for case in surprises:
            print(f"{case}: differs")
        for case in settled:
            print(f"{case}: agrees now, take it off the list of known differences")
        expected = len([case for case in known if case in ran])
        print(f"{passed} of {len(report)} cases equal Spark's answers, {expected} are known to differ")
        print(f"{len(report) - len(surprises)} passed, {len(surprises)} failed")
    else:
        print(f"{passed} passed, {len(report) - passed} failed")
    if not report:
        return 2
    return 1 if surprises else 0


def read_known(path) -> set:
    """Case ids of a list; what follows a # is the reason."""
    if path is None:
        return set()
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if line}


def latest_answers() -> Path:
    folders = sorted((registry.SUITE / "answers").glob("spark-*"))
    return folders[-1] if folders else registry.SUITE / "answers"


class Process:
    """What each process of the run knows."""

    chosen = None
    cases: dict = {}
    expected: dict = {}


def prepare(chosen) -> None:
    execution.in_utc()
    logging.disable(logging.CRITICAL)  # the client logs every error it raises
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    Process.chosen = chosen
    Process.cases = {case.id: case for case in registry.load()}
    Process.expected = {p.stem: json.loads(p.read_text()) for p in sorted(chosen.answers.glob("*.json"))}


def run_all(ids: list[str], chosen) -> list[dict]:
    """The report entries, in the order of the cases."""
    if chosen.jobs <= 1:
        return [replay(case) for case in ids]
    # What a case prints is caught for the whole process, and a client that was forked does not work.
    with multiprocessing.get_context("spawn").Pool(chosen.jobs, prepare, (chosen,)) as pool:
        return list(pool.imap(replay, ids))


def replay(case_id: str) -> dict:
    """Runs one case; the report entry holds its diff (empty when it passed)."""
    case, expected, chosen = Process.cases[case_id], Process.expected, Process.chosen
    wanted = expected.get(case.topic, {}).get(case.name)
    outcome = execution.run(case, lambda: connect(chosen.remote, chosen.conf), timeout_seconds=chosen.timeout)
    entry = {"case": case.id, "seconds": round(outcome.seconds, 2), "passed": False, "diff": []}
    entry["equal"], entry["answers"] = agreement(wanted, outcome.answer)
    if case.name not in expected.get(case.topic, {}):
        entry["diff"] = [f"--- {case.id}: no recorded answer; run record.py"]
    elif outcome.failure is not None:
        entry["diff"] = [f"--- {case.id}: the program failed"] + outcome.failure.splitlines()
    else:
        heard = (wanted, outcome.answer) if case.counts else map(answer.without_counts, (wanted, outcome.answer))
        theirs, ours = (answer.dump(one).splitlines() for one in heard)
        entry["passed"] = theirs == ours
        entry["diff"] = list(difflib.unified_diff(theirs, ours, f"{case.id} (Spark)", f"{case.id} (here)", lineterm="", n=2))
    print(f"{'ok  ' if entry['passed'] else 'FAIL'} {case.id:60} {outcome.seconds:6.1f} s", flush=True)
    return entry


def agreement(wanted, got) -> tuple[int, int]:
    """How many of a case's top-level answers are equal: a case that asks thirty questions and
    misses one should not look like one that fails outright."""
    if isinstance(wanted, dict):
        got = got if isinstance(got, dict) else {}
        return sum(k in got and answer.dump(got[k]) == answer.dump(v) for k, v in wanted.items()), len(wanted)
    return int(answer.dump(wanted) == answer.dump(got)), 1


def connect(remote: str, confs: list[str] = ()):
    from pyspark.sql.connect.session import SparkSession

    builder = SparkSession.builder.remote(remote)
    for key, setting in (SETTINGS | dict(conf.split("=", 1) for conf in confs)).items():
        builder = builder.config(key, setting)
    return builder.create()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a timed-out case's thread would keep the interpreter
