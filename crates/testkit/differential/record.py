#!/usr/bin/env python3
"""Runs cases on real Spark and writes down what it answers, one file per topic.

    python record.py --master 'local[2]'            # everything
    python record.py --only 'watermark.*'           # replaces these answers only
    python record.py --remote sc://127.0.0.1:15002  # the client-specific cases, through Spark's Connect server

Needs classic PySpark of the version to record (`pip install pyspark==4.3.0`) and a JVM; `--remote` needs
`pyspark-client` and that version's server. Answers go to `answers/spark-<version>/`, each as soon as it is there; those of
cases that no longer exist are dropped when their topic is next written.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import answer, execution, registry


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--master", default="local[2]")
    arguments.add_argument("--remote", help="Spark's own Connect server: record the client-specific cases")
    arguments.add_argument("--only", help="globs over case ids, topics or names, comma separated")
    arguments.add_argument("--timeout", type=float, default=90.0, help="seconds per case")
    arguments.add_argument("--jobs", type=int, default=1, help="cases at a time; one where cases print: what they print is caught for the whole process")
    chosen = arguments.parse_args()

    execution.in_utc()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    cases = [c for c in registry.load(chosen.only) if c.client_specific == (chosen.remote is not None)]
    new_session, version = through_connect(chosen.remote) if chosen.remote else classic(chosen.master)
    folder = registry.SUITE / "answers" / f"spark-{version}"
    folder.mkdir(parents=True, exist_ok=True)

    recorded, failed = 0, []
    order = [(c.topic, c.name) for c in registry.load()]

    def ask(case):
        return case, execution.run(case, new_session, timeout_seconds=chosen.timeout)

    with ThreadPoolExecutor(chosen.jobs) as pool:
        for case, outcome in pool.map(ask, cases):
            print(f"{case.id:60} {outcome.seconds:6.1f} s{'' if outcome.failure is None else '  FAILED'}", flush=True)
            if outcome.failure is None:
                recorded += 1
                names = [name for topic, name in order if topic == case.topic]
                write(folder / f"{case.topic}.json", names, {case.name: outcome.answer})
            else:
                failed.append(case.id)
                print(outcome.failure, flush=True)
    print(f"{recorded} recorded, {len(failed)} failed")
    sys.stdout.flush()
    return 1 if failed else 0


def classic(master: str):
    spark = oracle(master)
    return spark.newSession, spark.version


def through_connect(remote: str):
    from replay import connect

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    logging.disable(logging.CRITICAL)
    return lambda: connect(remote), connect(remote).version


def oracle(master: str):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("differential")
    for key, setting in {
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.sql.warehouse.dir": str(Path(tempfile.mkdtemp()) / "warehouse"),
    }.items():
        builder = builder.config(key, setting)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    logging.disable(logging.CRITICAL)  # classic PySpark logs every analysis error, with its Java stack
    return spark


def write(path, order: list[str], answers: dict) -> None:
    """Merges `answers` into the topic's file, in the order the cases are written in."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known.update(answers)
    path.write_text(answer.dump({name: known[name] for name in order if name in known}) + "\n")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a timed-out case's thread would keep the interpreter
