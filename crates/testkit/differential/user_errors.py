#!/usr/bin/env python3
"""The errors that everybody makes once, as Spark tells them: recorded by this script, held against Millstream by
`connect/test_user_errors.py`.

    python user_errors.py record        # needs pyspark 4.3 and a JVM

A mistake is a program in a folder of its own, with files in `in/`. `spark` is there. What it says is cut to what does
not change from run to run: ids are `<id>`, the folder is `<folder>`, plans are left out.
"""

import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.registry import SUITE

ANSWERS = SUITE / "answers" / "spark-4.3.0" / "user_errors.json"
IN = "spark.readStream.schema('name string, v int').json('in')"
CHECK = ".option('checkpointLocation', 'chk').trigger(availableNow=True)"
NAMES = f"{IN}.select('name').writeStream.format('text'){CHECK}.start('out').awaitTermination()"
COUNTS = f"{IN}.groupBy('name').count().writeStream.format('noop').outputMode('complete'){CHECK}.start().awaitTermination()"
TWICE = f"{IN}.union({IN}).writeStream.format('noop'){CHECK}.start().awaitTermination()"
BY_V = COUNTS.replace("groupBy('name')", "groupBy('v')")


@dataclass(frozen=True)
class Mistake:
    """`before` goes well, `program` does not, `after` is the program as it should have been: `out` then has `names`."""

    program: str
    before: str = ""
    after: str = NAMES
    names: tuple[str, ...] = ("x",)


def adds(name, text):
    return f"open('in/{name}', 'w').write({text!r})\n"


MISTAKES = {
    "missing_path": Mistake(NAMES.replace("json('in')", "json('input')")),
    "column_not_found": Mistake(NAMES.replace("select('name')", "select('nmae')")),
    "schema_that_does_not_fit": Mistake(
        NAMES.replace(".json(", ".option('mode', 'FAILFAST').json(").replace(".select('name')", ".selectExpr('concat(name, v) name')"),
        before=adds("b.json", '{"name": "y", "v": "many"}\n'),
        names=("x", "y"),
    ),
    "option_that_is_no_number": Mistake(NAMES.replace(".json(", ".option('maxFilesPerTrigger', 'many').json(")),
    "option_that_does_not_exist": Mistake(NAMES.replace(".json(", ".option('cleanSource', 'burn').json(")),
    "option_without_its_other_half": Mistake(NAMES.replace(".json(", ".option('cleanSource', 'archive').json(")),
    "trigger_that_is_no_interval": Mistake(NAMES.replace("availableNow=True", "processingTime='soon'")),
    "trigger_of_an_unknown_unit": Mistake(NAMES.replace("availableNow=True", "processingTime='1 fortnight'")),
    "output_mode_that_does_not_exist": Mistake(NAMES.replace(".format(", ".outputMode('sometimes').format(")),
    "complete_mode_without_aggregation": Mistake(NAMES.replace(".format(", ".outputMode('complete').format(")),
    "append_mode_without_watermark": Mistake(COUNTS.replace("'complete'", "'append'")),
    "sorted_stream": Mistake(NAMES.replace(".select('name')", ".orderBy('v')")),
    "stream_that_is_collected": Mistake(f"{IN}.collect()"),
    "no_checkpoint_location": Mistake(NAMES.replace(CHECK, "")),
    "checkpoint_of_a_query_with_other_sources": Mistake(TWICE, before=NAMES),
    "checkpoint_of_a_query_without_state": Mistake(
        COUNTS, before=NAMES + "\n" + adds("c.json", '{"name": "z", "v": 3}\n'), names=("x", "z")
    ),
    "checkpoint_of_a_query_with_other_keys": Mistake(
        BY_V, before=COUNTS + "\n" + adds("c.json", '{"name": "z", "v": 3}\n'),
        after=NAMES.replace("'chk'", "'chk2'"), names=("x", "z"),
    ),
}


def lay_out(folder: Path) -> None:
    (folder / "in").mkdir(parents=True)
    (folder / "in/a.json").write_text('{"name": "x", "v": 1}\n')


def stable(text: str, folder: Path) -> str:
    """What Spark and Millstream are to agree on: the first paragraph, without what differs from run to run."""
    text = text.split("\n=== Streaming Query ===")[0].split("\nJVM stacktrace")[0]
    # Classic PySpark adds the plan.
    text = re.sub(r";(?: line \d+ pos \d+;)?\n.*", "", text, flags=re.DOTALL)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    return re.sub(f"(file:(//)?)?{re.escape(str(folder))}", "<folder>", text).strip()


def record() -> int:
    from record import oracle

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    spark, said = oracle("local[2]"), {}
    home = os.getcwd()
    for name, mistake in MISTAKES.items():
        folder = Path(tempfile.mkdtemp(prefix="mistake-")).resolve()
        lay_out(folder)
        os.chdir(folder)
        exec(absolute(mistake.before, folder), {"spark": spark})
        try:
            exec(absolute(mistake.program, folder), {"spark": spark})
            raise SystemExit(f"{name} goes well in Spark")
        except Exception as error:
            said[name] = {"class": type(error).__name__, "message": stable(str(error), folder)}
        print(name, json.dumps(said[name]), flush=True)
    os.chdir(home)
    ANSWERS.write_text(json.dumps(said, indent=1) + "\n")
    return 0


def absolute(program: str, folder: Path) -> str:
    """A JVM does not follow its Python's working directory."""
    for path in ("in", "input", "out", "chk"):
        program = program.replace(f"'{path}'", f"'{folder}/{path}'")
    return program


if __name__ == "__main__":
    if sys.argv[1:] != ["record"]:
        sys.exit(__doc__)
    code = record()
    sys.stdout.flush()
    os._exit(code)
