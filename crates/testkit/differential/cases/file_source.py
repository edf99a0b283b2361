"""The file source: which files a batch takes, in which order, and what its options refuse."""

import json
from pathlib import Path

from harness import case, streams

SCHEMA = "id int, k string"


def documents(*ids):
    return [{"id": i, "k": f"k{i}"} for i in ids]


def batches_of(env, df, *, mode="append"):
    """Rows of each batch, as the memory sink receives them: starts the query on what is there."""
    query = env.start(df, mode)
    try:
        query.processAllAvailable()
        return {"rows": env.rows(spark_table(env, query)), "batches": streams.batches(query, set())}
    finally:
        query.stop()


def spark_table(env, query):
    return env.spark.table(query.name)


def three_files(env):
    for n in (1, 2, 3):
        env.write(f"in/{n}.json", documents(n, n * 10))


@case
def everything_in_one_batch(spark, env):
    three_files(env)
    return batches_of(env, env.events(SCHEMA))


@case
def max_files_per_trigger(spark, env):
    three_files(env)
    return {n: batches_of(env, env.events(SCHEMA, maxFilesPerTrigger=n)) for n in ("1", "2", "100")}


@case
def max_bytes_per_trigger(spark, env):
    """At least one file per batch, however small the limit."""
    three_files(env)
    return {n: batches_of(env, env.events(SCHEMA, maxBytesPerTrigger=n)) for n in ("1", "60", "1000000")}


@case
def files_come_in_order_of_modification(spark, env):
    env.write("in/z.json", documents(1))
    env.write("in/a.json", documents(2))
    env.write("in/m.json", documents(3))
    query = env.start(env.events(SCHEMA, maxFilesPerTrigger="1"), checkpointLocation=env.path("chk"))
    query.processAllAvailable()
    query.stop()
    return source_log(env, "chk")


def source_log(env, checkpoint):
    """The file source's own log: per batch, the files it took."""
    told = {}
    for entry in sorted((env.scratch / checkpoint / "sources/0").iterdir()):
        if entry.name.isdigit():
            version, *lines = entry.read_text().splitlines()
            told[entry.name] = [version] + [json.loads(line) for line in lines]
    return told


@case
def latest_first(spark, env):
    three_files(env)
    query = env.start(
        env.events(SCHEMA, maxFilesPerTrigger="1", latestFirst="true"), checkpointLocation=env.path("chk")
    )
    query.processAllAvailable()
    query.stop()
    return source_log(env, "chk")


@case
def option_values_refused(spark, env):
    three_files(env)
    attempts = {
        "maxFilesPerTrigger=0": {"maxFilesPerTrigger": "0"},
        "maxFilesPerTrigger=-1": {"maxFilesPerTrigger": "-1"},
        "maxFilesPerTrigger=many": {"maxFilesPerTrigger": "many"},
        "maxBytesPerTrigger=1k": {"maxBytesPerTrigger": "1k"},
        "both limits": {"maxFilesPerTrigger": "1", "maxBytesPerTrigger": "1"},
        "cleanSource=burn": {"cleanSource": "burn"},
        "archive without a directory": {"cleanSource": "archive"},
        "archive into the source": {"cleanSource": "archive", "sourceArchiveDir": env.path("in")},
        "latestFirst=maybe": {"latestFirst": "maybe"},
        "maxFileAge=old": {"maxFileAge": "old"},
        "modifiedAfter": {"modifiedAfter": "2020-01-01T00:00:00"},
    }
    return {
        name: env.error(lambda: batches_of(env, env.events(SCHEMA, **options)))
        for name, options in attempts.items()
    }


@case
def rewriting_a_file_is_not_noticed(spark, env):
    """A file already seen is not read again, unless it is newer than every file seen."""
    return env.run_stream(env.events(SCHEMA), "append",
                          [documents(1), documents(2), documents(3)]) + [rewritten(env)]


def rewritten(env):
    env.directory("again")
    env.write("again/a.json", documents(1))
    query = env.start(env.events(SCHEMA, "again"))
    query.processAllAvailable()
    env.write("again/a.json", documents(7))
    query.processAllAvailable()
    rows = env.rows(spark_table(env, query))
    query.stop()
    return rows


@case
def same_name_in_another_directory(spark, env):
    answers = {}
    for only_name in ("false", "true"):
        base = f"names-{only_name}"
        env.write(f"{base}/d=1/a.json", documents(1))
        query = env.start(env.events("id int, k string, d int", base, fileNameOnly=only_name))
        query.processAllAvailable()
        env.write(f"{base}/d=2/a.json", documents(2))
        query.processAllAvailable()
        answers[f"fileNameOnly={only_name}"] = env.rows(spark_table(env, query))
        query.stop()
    return answers


@case
def path_glob_filter(spark, env):
    env.write("in/a.json", documents(1))
    env.write("in/b.jsonl", documents(2))
    env.write("in/c.txt", documents(3))
    return {
        g: batches_of(env, env.events(SCHEMA, pathGlobFilter=g))
        for g in ("*.json", "*.json*", "{a,c}.*", "nothing")
    }


@case
def hidden_files_are_skipped(spark, env):
    env.write("in/a.json", documents(1))
    env.write("in/_b.json", documents(2))
    env.write("in/.c.json", documents(3))
    env.write("in/d.json", b"")
    return batches_of(env, env.events(SCHEMA))


@case
def sub_directories(spark, env):
    env.write("in/a.json", documents(1))
    env.write("in/sub/b.json", documents(2))
    env.write("in/sub/deep/c.json", documents(3))
    return {
        "as it is": env.attempt(lambda: batches_of(env, env.events(SCHEMA))),
        "recursive": env.attempt(lambda: batches_of(env, env.events(SCHEMA, recursiveFileLookup="true")))
    }


@case
def globs_in_the_path(spark, env):
    for day in ("2024-01-01", "2024-01-02", "2024-02-01"):
        env.write(f"in/{day}/a.json", documents(int(day[-2:])))
    return {
        g: batches_of(env,
                      spark.readStream.schema(SCHEMA).json(env.path(f"in/{g}")))
        for g in ("*", "2024-01-*", "2024-0[12]-01", "{2024-01-02,2024-02-01}")
    }


@case
def partition_columns(spark, env):
    env.write("in/day=2024-01-01/hour=5/a.json", documents(1))
    env.write("in/day=2024-01-02/hour=__HIVE_DEFAULT_PARTITION__/b.json", documents(2))
    env.write("in/day=2024-01-03/hour=07/c.json", documents(3))
    spark.conf.set("spark.sql.streaming.schemaInference", "true")
    inferred = spark.readStream.json(env.path("in"))
    given = env.events("id int, k string, day string, hour string")
    return {
        "inferred": [env.schema(inferred), batches_of(env, inferred)],
        "given as strings": [env.schema(given), batches_of(env, given)],
        "not in the schema": batches_of(env, env.events(SCHEMA)),
        "pruned": batches_of(env, given.where("day > '2024-01-01'")),
    }


@case
def metadata_column(spark, env):
    env.write("in/a b.json", documents(1))
    df = env.events(SCHEMA).selectExpr(
        "id", "_metadata.file_name as name", "_metadata.file_path as path", "_metadata.file_size as size",
        "_metadata.file_block_start as start", "_metadata.file_block_length as length",
        "_metadata.file_modification_time as mtime"
    )
    return {
        "schema": env.schema(env.events(SCHEMA).select("_metadata"), nullability=True),
        "run": batches_of(env, df)
    }


@case
def clean_source_delete(spark, env):
    """Cleaned when the next batch commits, so the last batch's file stays."""
    query = env.start(env.events(SCHEMA, cleanSource="delete", maxFilesPerTrigger="1"))
    for n in (1, 2, 3):
        env.write(f"in/{n}.json", documents(n))
        query.processAllAvailable()
    rows = env.rows(spark_table(env, query))
    left = wait_until(lambda: env.tree("in"), lambda files: len(files) <= 1)
    query.stop()
    return {"rows": rows, "left": left}


@case
def clean_source_archive(spark, env):
    query = env.start(
        env.events(
            SCHEMA, cleanSource="archive", sourceArchiveDir=env.path("archive"), maxFilesPerTrigger="1"
        )
    )
    for n in (1, 2, 3):
        env.write(f"in/{n}.json", documents(n))
        query.processAllAvailable()
    left = wait_until(lambda: env.tree("in"), lambda files: len(files) <= 1)
    archived = wait_until(
        lambda: sorted(str(p) for p in Path(env.path("archive")).rglob("*.json")),
        lambda files: len(files) >= 2
    )
    query.stop()
    return {"left": left, "archived": archived}


def wait_until(observe, satisfied, seconds=10.0):
    """Cleaning happens on a thread of its own."""
    import time

    deadline = time.monotonic() + seconds
    while not satisfied(observe()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return observe()


@case
def paths_refused(spark, env):
    """Classic PySpark raises these from `load`, Connect when the plan is first looked at."""
    env.write("in/a.json", documents(1))
    reader = lambda: spark.readStream.schema(SCHEMA).format("json")
    return {
        "missing directory": env.error(lambda: reader().load(env.path("nowhere")).schema),
        "glob matching nothing": env.error(lambda: reader().load(env.path("nowhere*")).schema),
        "no path": env.error(lambda: reader().load().schema),
        "path twice": env.error(lambda: reader().option("path", env.path("in")).load(env.path("in")).schema),
        "no schema": env.error(lambda: spark.readStream.json(env.path("in")).schema),
        "empty path": env.error(lambda: reader().load("").schema),
    }


@case
def a_single_file_as_the_path(spark, env):
    env.write("in/a.json", documents(1))
    env.write("in/b.json", documents(2))
    return env.attempt(lambda: batches_of(env, spark.readStream.schema(SCHEMA).json(env.path("in/a.json"))))


@case
def descriptions_and_offsets(spark, env):
    three_files(env)
    query = env.start(env.events(SCHEMA, maxFilesPerTrigger="2"))
    query.processAllAvailable()
    told = [streams.ends(json.loads(p.json)) for p in query.recentProgress if "addBatch" in p["durationMs"]]
    query.stop()
    return told


@case
def reads_the_output_of_another_query_through_its_log(spark, env):
    """A directory with `_spark_metadata` is read through that log: stray files do not count."""
    three_files(env)
    first = env.events(SCHEMA).writeStream.format("json").option("path", env.path("mid")) \
        .option("checkpointLocation", env.path("chk")).trigger(availableNow=True).start()
    first.awaitTermination()
    env.write("mid/stray.json", documents(99))
    return {
        "stream": batches_of(env,
                             spark.readStream.schema(SCHEMA).json(env.path("mid"))),
        "batch": env.rows(spark.read.schema(SCHEMA).json(env.path("mid")))
    }


@case
def rows_are_counted_after_pushed_filters(spark, env):
    three_files(env)
    return {"json": batches_of(env, env.events(SCHEMA).where("id > 5"))}


@case
def name_of_the_file_of_a_row(spark, env):
    """By the function, in a stream and in a batch; and where no file is."""
    name = "regexp_extract(input_file_name(), '[^/]+$', 0) AS file"
    stream = env.events("v int").selectExpr("v", name, "input_file_block_start() AS start")
    ran = env.run_stream(stream, "append", [[{"v": 1}], [{"v": 2}]], progress=False)
    batch = spark.read.schema("v int").json(env.directory("in"))
    return [
        ran,
        env.rows(batch.selectExpr("v", name)),
        env.rows(batch.selectExpr("v").filter("v > 0").selectExpr("v")),
        env.rows(spark.range(1).selectExpr("input_file_name()", "input_file_block_length()")),
    ]
