"""What a case is handed beside its session: directories, the bundled data, and ways to observe.

`scratch` is empty at the start of every case and is `<scratch>` in answers; `data` is the bundled
sample data, `<data>` in answers. Input files are written whole under a hidden name and renamed, as a
well-behaved producer would, and get increasing modification times one second apart, so that the file
source's order never depends on the clock.
"""

import contextlib
import io
import json
import os
from pathlib import Path
from urllib.parse import unquote

from harness import answer, streams

_FIRST_MTIME = 1_600_000_000
_RUNS_AT_MOST = 15


class Environment:
    """Scratch space and observations for one case."""

    def __init__(self, spark, scratch: Path, data: Path):
        self.spark = spark
        self.scratch = scratch
        self.data = data
        self._files_written = 0
        self._queries_started = 0

    # ---- files -------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """A path under the scratch directory; nothing is created."""
        return str(self.scratch / name)

    def directory(self, name: str) -> str:
        """A directory under the scratch directory, created when missing."""
        (self.scratch / name).mkdir(parents=True, exist_ok=True)
        return str(self.scratch / name)

    def write(self, relative: str, content) -> str:
        """Writes one file: text, bytes, or a list of lines (dicts become JSON documents)."""
        self._write_together({relative: content})
        return str(self.scratch / relative)

    def _write_together(self, contents: dict):
        """Writes files that become visible as nearly at once as renames allow."""
        for hidden, target in [self._write_hidden(relative, content) for relative, content in contents.items()]:
            hidden.rename(target)

    def _write_hidden(self, relative: str, content):
        target = self.scratch / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, (list, tuple)):
            lines = [json.dumps(line) if isinstance(line, dict) else line for line in content]
            content = "".join(f"{line}\n" for line in lines)
        hidden = target.parent / f".{target.name}.writing"
        hidden.write_bytes(content.encode() if isinstance(content, str) else content)
        mtime = _FIRST_MTIME + self._files_written
        self._files_written += 1
        os.utime(hidden, (mtime, mtime))
        return hidden, target

    def tree(self, name: str, *, contents: bool = False):
        """The visible files under a directory (Hadoop's `.crc` side files and part-file uuids set
        aside), with their lines when `contents`."""
        root = self.scratch / name
        listed = {}
        for file in sorted(root.rglob("*")):
            relative = file.relative_to(root)
            if file.is_file() and not any(part.startswith(".") for part in relative.parts):
                listed[str(relative)] = file.read_text().splitlines() if contents else None
        return listed if contents else list(listed)

    def committed(self, output: str):
        """The rows of a text-like file sink, batch by batch, through its `_spark_metadata` log: for
        each batch a list of files in partition order, each with its partition directory and lines."""
        log = Path(output) / "_spark_metadata"
        told = {}
        for entry in sorted((p for p in log.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)):
            version, *documents = entry.read_text().splitlines()
            files = []
            for document in documents:
                add = json.loads(document)
                path = Path(unquote(add["path"].removeprefix("file://")))
                where = path.relative_to(Path(output).resolve()).parent
                files.append((path.name.split("-")[1], str(where), path.read_text().splitlines()))
            files.sort()
            told[entry.name] = [{"in": where, "lines": lines} for _, where, lines in files if lines]
        return {"version": version, "batches": told}

    # ---- observing ----------------------------------------------------------------------------

    def rows(self, df, *, ordered: bool = False):
        """The collected rows; sorted unless the query defines their order."""
        return answer.rows(df.collect(), ordered=ordered)

    def table(self, df, *, ordered: bool = False):
        """Schema and rows."""
        return {"schema": answer.schema(df.schema), "rows": self.rows(df, ordered=ordered)}

    def schema(self, df, *, nullability: bool = False):
        return answer.schema(df.schema, nullability=nullability)

    def evaluate(self, df, expressions):
        """Each SQL expression over `df` by itself, so that one unknown function costs one answer:
        its type and values, or the error it raises."""
        return {e: self.attempt(lambda: self._evaluate_one(df, e)) for e in expressions}

    def _evaluate_one(self, df, expression):
        selected = df.selectExpr(f"{expression} as v")
        values = [answer.value(r[0]) for r in selected.collect()]
        told = values
        if len(values) == 1:
            told = values[0]
        elif len({repr(v) for v in values}) == 1:
            told = {f"each of {len(values)} rows": values[0]}
        return {answer.schema(selected.schema)[0].removeprefix("v "): told}

    def queries(self, statements, *, ordered: bool = False):
        """Each SQL statement by itself: schema and rows, or its error."""
        return {s: self.attempt(lambda: self.table(self.spark.sql(s), ordered=ordered)) for s in statements}

    def attempt(self, action):
        """What `action` returns, or the error it raises."""
        try:
            return action()
        except Exception as e:
            return answer.error(e)

    def error(self, action):
        """The error `action` raises; not raising one is the answer `"no error"`."""
        try:
            action()
        except Exception as e:
            return answer.error(e)
        return "no error"

    def printed(self, action):
        """The lines `action` prints."""
        captured = io.StringIO()
        with contextlib.redirect_stdout(captured):
            action()
        return captured.getvalue().split("\n")

    # ---- streams ------------------------------------------------------------------------------

    def events(self, schema: str, name: str = "in", **options):
        """A stream of JSON documents from the input directory `name`."""
        reader = self.spark.readStream.schema(schema).options(**options)
        return reader.json(self.directory(name))

    def lines(self, name: str = "in", **options):
        """A stream of text lines from the input directory `name`."""
        return self.spark.readStream.options(**options).text(self.directory(name))

    def start(self, df, mode: str = "append", *, name: str | None = None, trigger=None, **options):
        """Starts `df` into the memory sink, as the temporary view `name`."""
        self._queries_started += 1
        name = name or f"out{self._queries_started}"
        writer = df.writeStream.format("memory").queryName(name).outputMode(mode)
        return (writer.trigger(**trigger) if trigger else writer).options(**options).start()

    def run_stream(self, df, mode: str, steps, *, progress: bool = True, sources: int = 1):
        """Runs `df` into the memory sink, one step after another.

        A step is the content of the next file of the directory `in`, or a dict from directory to
        content for several inputs. Append and update answer with the rows a step added, complete
        with the whole table. A failure ends the run and is the last answer.

        Files of several inputs cannot appear at one instant: the query may list one directory
        before and the other after, and take two batches for the step. Then the run is repeated. So may a query
        that reads one input twice, which has more `sources` than a step tells.
        """
        steps = [step if isinstance(step, dict) else {"in": step} for step in steps]
        for _ in range(_RUNS_AT_MOST):
            told, split = self._run_steps(df, mode, steps, progress, sources)
            if not split:
                break
            for directory in {d for step in steps for d in step}:
                for file in (self.scratch / directory).glob("step-*"):
                    file.unlink()
        return told

    def _run_steps(self, df, mode, steps, progress, sources):
        """The answers, and whether a step of several inputs was taken apart."""
        query = self.start(df, mode)
        seen, before, told, split = set(), [], [], False
        try:
            for number, step in enumerate(steps):
                self._write_together({f"{d}/step-{number:03}.json": content for d, content in step.items()})
                query.processAllAvailable()
                after = self.rows(self.spark.table(query.name))
                result = {"rows": after if mode == "complete" else answer.added(before, after)}
                before = after
                ran = streams.documents(query, seen)
                split = split or (max(len(step), sources) > 1 and sum(map(streams.has_data, ran)) > 1)
                if progress:
                    result["batches"] = [streams.summary(document) for document in ran]
                told.append(result)
        except Exception as e:
            told.append(answer.error(e))
        finally:
            query.stop()
        return told, split

    def run_at_once(self, df, mode: str, steps):
        """Runs `df` into the memory sink over all of the input, as many files a batch as its sources say."""
        self.write_steps(steps)
        query = self.start(df, mode, trigger={"availableNow": True})
        try:
            query.awaitTermination()
            return {"rows": self.rows(self.spark.table(query.name)), "batches": streams.batches(query, set())}
        finally:
            query.stop()

    def run_anew(self, df, steps):
        """Runs `df` into JSON files, a query for every step, each on its predecessor's checkpoint."""
        told, seen = [], set()
        for number, step in enumerate(steps):
            self.write_steps([step], number)
            writer = df.writeStream.format("json").option("checkpointLocation", self.path("checkpoint"))
            query = writer.trigger(availableNow=True).start(self.path("out"))
            try:
                query.awaitTermination()
            finally:
                query.stop()
            written = self.committed(self.path("out"))["batches"] if self.tree("out/_spark_metadata") else {}
            rows = [line for batch, files in written.items() if batch not in seen for file in files for line in file["lines"]]
            seen |= set(written)
            told.append({"rows": sorted(rows), "batches": streams.batches(query, set())})
        return told

    def write_steps(self, steps, first: int = 0):
        for number, step in enumerate(steps, first):
            self._write_together({f"{d}/step-{number:03}.json": content for d, content in step.items()})
