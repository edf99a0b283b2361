"""The sinks that leave something to look at: files with their log, memory tables, noop."""

import json

from harness import case, streams

EVENT = "id int, k string, day string"


def events(env, **options):
    return env.events(EVENT, **options)


def rows(*ids):
    return [{"id": i, "k": f"k{i % 2}", "day": f"2024-01-0{i}"} for i in ids]


def to_files(env, df, fmt, steps, *, partition=(), name="out", **options):
    """Writes steps into `out` of a format, one batch per step; answers with the file sink's log."""
    writer = df.writeStream.format(fmt).option("path", env.path(name)
                                               ).option("checkpointLocation",
                                                        env.path(f"chk-{name}")).options(**options)
    if partition:
        writer = writer.partitionBy(*partition)
    query = writer.start()
    for number, step in enumerate(steps):
        env.write(f"in/{number:03}.json", step)
        query.processAllAvailable()
    progress = json.loads(query.lastProgress.json)
    query.stop()
    return streams.ends(progress)["sink"]


@case
def json_files(spark, env):
    sink = to_files(env, events(env), "json", [rows(1, 2), rows(3), [{"id": 4}]])
    return {
        "sink": sink,
        "committed": env.committed(env.path("out")),
        "read back": env.rows(spark.read.json(env.path("out")))
    }


@case
def json_values(spark, env):
    """How each type is written as JSON."""
    df = env.events("i int").selectExpr(
        "i", "1.50 as m", "cast(2 as double) as d", "1e-7D as small", "1e20D as big",
        "cast('NaN' as double) as nan", "timestamp'2024-01-02 03:04:05.678901' as ts",
        "timestamp_ntz'2024-01-02 03:04:05' as ntz", "date'2024-01-02' as day", "array(1, null) as a",
        "map('k', 1, 'n', null) as mp", "struct(1 as x, null as y) as st", "X'0102' as bin",
        "'q\"\\\\é\\n' as s", "true as b", "null as nothing", "array() as e", "2.5f as f"
    )
    to_files(env, df, "json", [[{"i": 1}, {}]])
    return env.committed(env.path("out"))


@case
def json_options(spark, env):
    df = env.events("i int").selectExpr(
        "i", "timestamp'2024-01-02 03:04:05.678' as ts", "date'2024-01-02' as day", "null as n"
    )
    to_files(
        env,
        df,
        "json", [[{"i": 1}]],
        ignoreNullFields="false",
        timestampFormat="dd/MM/yyyy HH:mm",
        dateFormat="yy.MM.dd"
    )
    return env.committed(env.path("out"))


@case
def csv_files(spark, env):
    df = env.events("i int, s string").selectExpr(
        "i", "s", "1.50 as m", "timestamp'2024-01-02 03:04:05.678' as ts", "date'2024-01-02' as day",
        "cast(0.1 as double) as d", "true as b", "cast(null as int) as n"
    )
    steps = [
        [
            {
                "i": 1,
                "s": "plain"
            }, {
                "i": 2,
                "s": "with, comma"
            }, {
                "i": 3,
                "s": 'q"uote'
            }, {"i": 4, "s": ""}, {"i": 5}, {"i": 6, "s": " spaces "}, {"i": 7, "s": "two\nlines"}
        ]
    ]
    to_files(env, df, "csv", steps)
    to_files(env, df, "csv", steps, name="headed", header="true", sep=";", nullValue="NULL", quoteAll="true")
    return {"plain": env.committed(env.path("out")), "headed": env.committed(env.path("headed"))}


@case
def types_a_format_cannot_hold(spark, env):
    """Found out when the first batch is written, not at the start."""
    env.write("in/a.json", [{"i": 1}])
    told = {}
    for name, column in {"void": "null", "array": "array(i)", "binary": "X'01'", "interval": "interval 1 day",
                         "int": "i"}.items():
        for fmt in ("csv", "text", "parquet", "json", "orc"):
            df = env.events("i int").selectExpr(f"{column} as c")

            def run():
                query = df.writeStream.format(fmt).option("path", env.path(f"{name}-{fmt}")).option(
                    "checkpointLocation", env.path(f"chk-{name}-{fmt}")
                ).trigger(availableNow=True).start()
                query.awaitTermination()
                return "ok"

            told[f"{name} in {fmt}"] = env.attempt(run)
    return told


def outcome(env, df, fmt, name, **options):
    """When a query fails, and by what: a refusal of `start()` looks otherwise than a batch that failed."""

    def run():
        writer = df.writeStream.format(fmt).options(**options).trigger(availableNow=True)
        if fmt not in ("console", "memory", "noop"):
            writer = writer.option("path", env.path(name)).option("checkpointLocation", env.path(f"chk-{name}"))
        query = writer.queryName("q_" + "".join(filter(str.isalnum, name))).start()
        query.awaitTermination()
        return "ok"

    return env.attempt(run)


@case(timeout_seconds=90)
def wrong_options_fail_the_first_batch(spark, env):
    env.write("in/a.json", [{"i": 1}])
    df = env.events("i int")
    text = df.selectExpr("cast(i as string) as value")
    asked = {
        "console rows": ("console", {"numRows": "x"}),
        "console fraction of rows": ("console", {"numRows": "1.5"}),
        "console truncate": ("console", {"truncate": "20"}),
        "json codec": ("json", {"compression": "bogus"}),
        "parquet codec": ("parquet", {"compression": "bogus"}),
        "csv codec": ("csv", {"compression": "bogus"}),
        "text codec": ("text", {"compression": "bogus"}),
        "orc codec": ("orc", {"compression": "bogus"}),
    }
    told = {
        name: outcome(env, text if fmt == "text" else df, fmt, name, **options)
        for name, (fmt, options) in asked.items()
    }
    # Which codecs there are instead is another question.
    for answer in told.values():
        message = answer["parameters"]["message"]
        answer["parameters"]["message"] = [line.split(" Available codecs")[0] for line in message]
    return told


@case(timeout_seconds=90)
def names_that_repeat(spark, env):
    """A stream may write a name twice, a batch may not; neither may read it, which a stream finds out late."""
    env.write("in/a.json", [{"a": 1}, {"a": 2}])
    df = env.events("a int")
    twice, cases = df.select("a", "a"), df.selectExpr("a", "a + 1 as A")
    written = {
        f"{fmt} {name}": outcome(env, rows, fmt, f"{fmt}-{name}")
        for fmt in ("json", "parquet", "csv", "orc", "memory", "noop", "text")
        for name, rows in (("twice", twice), ("cases", cases))
    }
    batch = spark.createDataFrame([(1,)], "a int")
    stream = spark.readStream.schema("a int, a int").json(env.path("in"))
    return {
        "written": written,
        "json": env.committed(env.path("json-twice"))["batches"],
        "batch": {
            fmt: env.error(lambda: batch.select("a", "a").write.format(fmt).save(env.path(f"b-{fmt}")))
            for fmt in ("json", "parquet", "csv")
        },
        "nested in a batch": env.error(lambda: batch.selectExpr("struct(a, a) as s").write.json(env.path("nested"))),
        "read in a batch": {
            text: env.error(lambda: spark.read.schema(text).json(env.path("in")).schema)
            for text in ("a int, a int", "a int, A int", "s struct<a: int, a: int>", "s array<struct<a: int, A: int>>")
        },
        "schema of a stream": env.schema(stream),
        "a name of a stream": env.error(lambda: stream.select("a").schema),
        "read in a stream": {
            text: outcome(env, spark.readStream.schema(text).json(env.path("in")), "noop", f"read {number}")
            for number, text in enumerate(("a int, a int", "a int, A int", "s struct<a: int, a: int>"))
        },
    }


@case(timeout_seconds=60)
def text_looks_at_types_first(spark, env):
    env.write("in/a.json", [{"i": 1}])
    env.write("lines/a.txt", "x\n")
    df = env.events("i int")
    written = {"a number and a text": df.selectExpr("i", "'a' as b"), "texts": df.selectExpr("'a' as a", "'b' as b")}
    read = ("a int, b int", "a string, b string", "a int", "a string, b array<int>")
    return {
        "written": {name: outcome(env, rows, "text", name) for name, rows in written.items()},
        "read": {
            text: outcome(env, spark.readStream.schema(text).text(env.path("lines")), "noop", f"read {number}")
            for number, text in enumerate(read)
        },
        "read in a batch": {
            text: env.error(lambda: spark.read.schema(text).text(env.path("lines")).collect()) for text in read
        },
    }


@case
def text_files(spark, env):
    to_files(env, env.events("k string"), "text", [[{"k": "one"}, {"k": ""}, {"k": None}, {"k": "two"}]])
    return env.committed(env.path("out"))


@case
def parquet_and_orc_files(spark, env):
    told = {}
    for fmt in ("parquet", "orc"):
        sink = to_files(env, events(env), fmt, [rows(1, 2), rows(3)], name=fmt)
        names = sorted(p.name.split("-c000")[1] for p in (env.scratch / fmt).glob("part-*"))
        told[fmt] = {
            "sink": sink,
            "suffixes": names,
            "read back": env.table(spark.read.format(fmt).load(env.path(fmt)))
        }
    return told


@case
def partitioned_files(spark, env):
    to_files(
        env,
        events(env),
        "json", [rows(1, 2, 3), [{"id": 4, "k": None, "day": "a b/c=d"}, {"id": 5, "k": "", "day": "é"}]],
        partition=("k", "day")
    )
    back = spark.read.json(env.path("out"))
    return {
        "committed": env.committed(env.path("out")),
        "read back": env.table(back),
        "one partition": env.rows(back.where("k = 'k1'"))
    }


@case
def no_rows_no_files(spark, env):
    """A batch whose rows are all filtered out still writes its log entry."""
    to_files(env, events(env).where("id > 10"), "json", [rows(1), rows(2)])
    log = env.scratch / "out/_spark_metadata"
    return {
        "log": {p.name: p.read_text().splitlines()[:1] for p in sorted(log.iterdir()) if p.name.isdigit()},
        "files": len(list((env.scratch / "out").glob("part-*")))
    }


@case
def sink_log_entry(spark, env):
    """The fields of a `_spark_metadata` entry and of the checkpoint's own files."""
    to_files(env, events(env), "json", [rows(1)])
    version, line = (env.scratch / "out/_spark_metadata/0").read_text().splitlines()
    entry = json.loads(line)
    chk = env.scratch / "chk-out"
    offsets = (chk / "offsets/0").read_text().splitlines()
    return {
        "version": version,
        "keys": list(entry),
        "fixed": {k: entry[k] for k in ("isDir", "blockReplication", "blockSize", "action")},
        "size is the file's": entry["size"] == next((env.scratch / "out").glob("part-*")).stat().st_size,
        "checkpoint": [p for p in env.tree("chk-out")],
        "metadata keys": list(json.loads((chk / "metadata").read_text())),
        "commit": (chk / "commits/0").read_text().splitlines(),
        "offsets": [offsets[0], offsets[2:]],
        "offset conf": json.loads(offsets[1])["conf"],
    }


@case(timeout_seconds=60)
def sink_log_is_compacted_every_tenth_batch(spark, env):
    to_files(env, events(env), "json", [rows(i % 9 + 1) for i in range(12)])
    log = env.scratch / "out/_spark_metadata"
    source = env.scratch / "chk-out/sources/0"
    count = lambda folder: {
        p.name: len(p.read_text().splitlines()) - 1
        for p in sorted(folder.iterdir()) if not p.name.startswith(".")
    }
    return {
        "sink": count(log),
        "source": count(source),
        "rows": spark.read.schema(EVENT).json(env.path("out")).count()
    }


@case
def same_output_new_checkpoint(spark, env):
    """Batch ids the sink's log already has are skipped without a word."""
    to_files(env, events(env), "json", [rows(1), rows(2)])
    again = events(env).writeStream.format("json").option("path", env.path("out")
                                                          ).option("checkpointLocation",
                                                                   env.path("other")).start()
    again.processAllAvailable()
    env.write("in/900.json", rows(3))
    again.processAllAvailable()
    env.write("in/901.json", rows(4))
    again.processAllAvailable()
    again.stop()
    return env.rows(spark.read.schema(EVENT).json(env.path("out")))


@case
def memory_sink(spark, env):
    query = env.start(events(env), name="seen")
    env.write("in/0.json", rows(1, 2))
    query.processAllAvailable()
    told = {
        "table": env.table(spark.table("seen")),
        "sql": env.rows(spark.sql("select count(*), max(id) from seen")),
        "sink": streams.ends(json.loads(query.lastProgress.json))["sink"]
    }
    query.stop()
    told["after stop"] = env.rows(spark.table("seen"))
    return told


@case
def memory_sink_recovers_only_in_complete_mode(spark, env):
    env.write("in/0.json", rows(1, 2))

    def run(df, mode):
        query = df.writeStream.format("memory").queryName(f"m_{mode}").outputMode(mode).option(
            "checkpointLocation", env.path(f"chk-{mode}")
        ).start()
        query.processAllAvailable()
        query.stop()
        return env.rows(spark.table(f"m_{mode}"))

    counted = events(env).groupBy("k").count()
    told = {
        "append": [run(events(env), "append"),
                   env.attempt(lambda: run(events(env), "append"))],
        "update": [run(counted, "update"),
                   env.attempt(lambda: run(counted, "update"))]
    }
    told["complete"] = [run(counted, "complete")]
    env.write("in/1.json", rows(3))
    told["complete"].append(env.attempt(lambda: run(counted, "complete")))
    return told


@case
def noop_counts_rows(spark, env):
    env.write("in/0.json", rows(1, 2))
    query = events(env).writeStream.format("noop").start()
    query.processAllAvailable()
    told = streams.ends(json.loads(query.lastProgress.json))["sink"]
    query.stop()
    return told


@case
def sorted_complete_output(spark, env):
    df = env.events("k string").groupBy("k").count().orderBy("count", "k")
    query = env.start(df, "complete")
    told = []
    for number, step in enumerate([["a", "b", "b"], ["a", "a", "c"]]):
        env.write(f"in/{number}.json", [{"k": k} for k in step])
        query.processAllAvailable()
        told.append(env.rows(spark.table(query.name), ordered=True))
    query.stop()
    return told


@case
def to_table(spark, env):
    """A table created by a stream, appended to by a second run, read back in batch and as a stream."""
    spark.sql("drop table if exists made_by_a_stream")
    try:
        for number in range(2):
            env.write(f"in/{number}.json", rows(number + 1))
            events(env).writeStream.trigger(
                availableNow=True
            ).option("checkpointLocation", env.path("chk")).toTable("made_by_a_stream").awaitTermination()
        query = env.start(spark.readStream.table("made_by_a_stream"))
        query.processAllAvailable()
        told = {
            "batch": env.table(spark.table("made_by_a_stream")),
            "stream": env.rows(spark.table(query.name)),
            "describe": env.attempt(lambda: env.rows(spark.sql("describe made_by_a_stream"), ordered=True))
        }
        query.stop()
        return told
    finally:
        spark.sql("drop table if exists made_by_a_stream")


@case
def batch_writers(spark, env):
    """The batch side: modes, partitions, single files."""
    df = spark.sql("select * from values (1, 'a'), (2, 'b'), (2, null) as t(i, s)").coalesce(1)
    out = env.path("b")
    told = {
        "json": (df.write.json(out), env.rows(spark.read.json(out)))[1],
        "exists": env.error(lambda: df.write.json(out)),
        "ignore": (df.write.mode("ignore").json(out), env.rows(spark.read.json(out)))[1],
        "append": (df.write.mode("append").json(out), env.rows(spark.read.json(out)))[1],
        "overwrite": (df.limit(1).write.mode("overwrite").json(out), env.rows(spark.read.json(out)))[1]
    }
    df.write.partitionBy("s").mode("overwrite").option("compression", "none").csv(env.path("c"))
    told["csv by s"] = env.rows(spark.read.csv(env.path("c")))
    told["names"] = sorted({p.split("/")[0] if "/" in p else p for p in env.tree("c")})
    told["text of an int"] = env.error(lambda: df.select("i").write.text(env.path("t")))
    told["bad format"] = env.error(lambda: df.write.format("nope").save(out))
    return told
