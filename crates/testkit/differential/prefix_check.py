#!/usr/bin/env python3
"""Random streaming programs against themselves as batch queries: no recorded answers, so any number of seeds.

    python prefix_check.py --remote sc://127.0.0.1:15002 --seeds 1000-1200

The programs are those of `harness/wide_programs.py`, over input in which no row is late. What their sink has told is held
against the same query as a batch over the same files:

| mode | when | the answer is |
|---|---|---|
| complete | after every step | the batch query's over all input so far |
| update | after every step | the batch query's, once a later row of a group replaces an earlier one |
| append | after a last step, years later | the batch query's, but for what is still open: rows of the last step, NULL event times |

A program has no batch query to compare with, and is passed over, if Millstream refuses it, or tells of late rows, or for one
of these:

| passed over | because |
|---|---|
| a deduplication within a watermark, a limit | what is told depends on when rows came |
| an outer join by a range of time, one watermark | no row ever leaves state, so none is told without a match; as Spark (`joins_stream_state.range_with_the_*`) |
| update mode, a condition on groups | it takes groups back that were told before |
| update mode, chained | an operator gets what another has updated |
"""

import argparse
import logging
import os
import random
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from harness import answer, execution, registry, streams, wide_programs
from harness.environment import Environment
from replay import connect

# The last step: all that happened before is over by then.
AFTERWARDS = {"t": "2031-01-01T00:00:00Z", "u": "2031-01-01T00:00:00Z", "k": "zz", "v": 9, "g": "x", "d": 1.0}
STILL_OPEN = re.compile(r"203[01]-\d\d-\d\d|\b(zz|ZZ)\b")


class BatchEnvironment(Environment):
    """Reads the same files, as a table."""

    def events(self, schema: str, name: str = "in", **_options):
        return self.spark.read.schema(schema).json(self.directory(name))


class Skipped(Exception):
    """There is nothing to compare."""


def compare(seed: int, spark, env: Environment) -> str:
    """The mode compared, once all comparisons have held; raises `Skipped` or `AssertionError`."""
    draw = random.Random(seed)
    settings = wide_programs.confs(draw) | {wide_programs.NO_DATA: "true"}
    for key, setting in settings.items():
        spark.conf.set(key, setting)
    before = draw.getstate()
    try:
        built = wide_programs.build(draw, env)
        mode = wide_programs.mode_of(draw, built)
        if built.caveats & {"within watermark", "limit", "one watermark"} or mode == "update" and "having" in built.caveats:
            raise Skipped(f"{mode}, {' and '.join(sorted(built.caveats))}")
        if mode != "append" and built.stateful > 1:
            raise Skipped(f"{mode}, chained")
        steps = wide_programs.steps(draw, wide_programs.inputs_of(built), "none")
        query = env.start(built.df, mode)
    except Skipped:
        raise
    except Exception as e:
        raise Skipped(refusal(e)) from e

    def batch():
        """The same draws again. A view knows the files that were there when it was made, so it is made anew each time."""
        draw.setstate(before)
        return wide_programs.build(draw, BatchEnvironment(spark, env.scratch, env.data)).df.collect()

    what = f"seed {seed}: {', '.join(built.told)}; {mode}"
    try:
        seen = set()
        for number, step in enumerate(steps):
            table = run_step(env, query, number, step, seen)
            if mode == "complete":
                equal(f"{what}, step {number}", answer.rows(table), answer.rows(batch()))
            elif mode == "update":
                equal(f"{what}, step {number}", folded(table, built), answer.rows(batch()))
        if mode == "append":
            table = run_step(env, query, len(steps), {name: [AFTERWARDS] for name in wide_programs.inputs_of(built)}, seen)
            closed(what, table, batch(), built)
    finally:
        query.stop()
    return mode


def refusal(e) -> str:
    condition = getattr(e, "getCondition", lambda: None)()
    if condition in (None, "INTERNAL_ERROR"):
        raise e
    return "refused"


def run_step(env, query, number, step, seen):
    env.write_steps([step], number)
    try:
        query.processAllAvailable()
    except Exception as e:
        raise Skipped(refusal(e)) from e
    for line in streams.batches(query, seen):
        if re.search(r"late [1-9]", line):
            raise Skipped("late rows")
    return env.spark.table(query.name).collect()


def folded(table, built):
    """The last row of each group: the sink keeps them in the order of the batches."""
    if built.keys is None:
        return answer.rows(table)
    return answer.rows({text(keys_of(row, built)): row for row in table}.values())


def keys_of(row, built):
    return [row[row.__fields__.index(name)] for name in built.keys]


def text(content) -> str:
    return answer.dump(answer.rows([content])[0])


def equal(what, got, wanted):
    if answer.dump(got) != answer.dump(wanted):
        raise AssertionError(f"{what}\n{difference(listed(wanted), listed(got))}")


def closed(what, got, wanted, built):
    """Everything that the stream told is in the batch query's answer, and of that it lacks open rows alone."""
    wanted_rows, got_rows = answer.rows(wanted), answer.rows(got)
    still_open = Counter(text(list(row)) for row in wanted if is_open(row, built))
    lost = listed(wanted_rows) - listed(got_rows) - still_open
    added = listed(got_rows) - listed(wanted_rows)
    if lost or added:
        raise AssertionError(f"{what}\n{difference(listed(wanted_rows) - still_open, listed(got_rows))}")


def is_open(row, built) -> bool:
    times = [row[n] for n, name in enumerate(row.__fields__) if name in ("t", "window")]
    return None in times or bool(STILL_OPEN.search(text(list(row))))


def listed(rows) -> Counter:
    return Counter(map(answer.dump, rows))


def difference(wanted: Counter, got: Counter) -> str:
    told = [f"  batch only, {n} times: {row}" for row, n in (wanted - got).items()]
    told += [f"  stream only, {n} times: {row}" for row, n in (got - wanted).items()]
    return "\n".join(told[:12])


def outcome(seed: int, remote: str) -> tuple[str, str]:
    """What became of a seed, and what is to be said of it."""
    kept = {}

    def run(spark, env):
        try:
            kept["what"] = compare(seed, spark, env), ""
        except Skipped as e:
            kept["what"] = "passed over", str(e)
        except AssertionError as e:
            kept["what"] = "DIFFERS", str(e)
        return None

    case = registry.Case("prefix_check", f"seed_{seed}", run, 90, False, True)
    ran = execution.run(case, lambda: connect(remote))
    return kept.get("what") or ("FAILED", f"seed {seed}: {ran.failure}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--remote", required=True, help="for example sc://127.0.0.1:15002")
    arguments.add_argument("--seeds", help="first-last; without it, a hundred that nobody has tried yet")
    arguments.add_argument("--jobs", type=int, default=2, help="programs at a time")
    chosen = arguments.parse_args()
    execution.in_utc()
    logging.disable(logging.CRITICAL)  # the client logs every error it raises
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    first, _, last = (chosen.seeds or "").partition("-")
    first = int(first) if first else int(time.time())
    seeds = range(first, (int(last) if last else first + 99) + 1)
    counts, bad, passed_over = Counter(), [], Counter()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for seed, (kind, said) in zip(seeds, pool.map(lambda seed: outcome(seed, chosen.remote), seeds)):
            counts[kind] += 1
            if kind == "passed over":
                passed_over[said] += 1
            elif said:
                bad.append(seed)
                print(f"{kind}: {said}", flush=True)
    print(f"seeds {seeds.start} to {seeds.stop - 1}: " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))
    print("  passed over: " + ", ".join(f"{n} {why}" for why, n in passed_over.most_common()))
    compared = sum(counts[mode] for mode in streams.MODES)
    if not compared:
        print("nothing was compared", file=sys.stderr)
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a timed-out case's thread would keep the interpreter
