"""Dropping duplicates: in batch, for ever in a stream, and within the watermark."""

import json

from pyspark.sql.functions import window

from harness import case

EVENT = "ts timestamp, k string, v int"


def at(time, k, v):
    return {"ts": f"2024-01-01T{time}:00Z", "k": k, "v": v}


STEPS = [
    [at("10:00", "a", 1), at("10:00", "a", 2), at("10:01", "b", 3)],
    [at("10:00", "a", 4), at("10:05", "a", 5), {"k": "n", "v": 6}],
    [at("10:40", "c", 7), {"k": "n", "v": 8}],
    [at("10:00", "a", 9),
     at("10:41", "a", 10),
     at("10:41", None, 11),
     at("10:41", None, 12)],
]


@case
def by_key_for_ever(spark, env):
    return env.run_stream(env.events(EVENT).dropDuplicates(["k"]), "append", STEPS)


@case
def by_key_with_watermark_unused(spark, env):
    return env.run_stream(
        env.events(EVENT).withWatermark("ts", "10 minutes").dropDuplicates(["k"]), "append", STEPS
    )


@case
def by_key_and_event_time(spark, env):
    return env.run_stream(
        env.events(EVENT).withWatermark("ts", "10 minutes").dropDuplicates(["k", "ts"]), "append", STEPS
    )


@case
def within_watermark(spark, env):
    return env.run_stream(
        env.events(EVENT).withWatermark("ts", "10 minutes").dropDuplicatesWithinWatermark(["k"]), "append",
        STEPS[:1] + STEPS[2:]
    )


@case
def distinct_rows(spark, env):
    return env.run_stream(env.events(EVENT).select("k").distinct(), "update", STEPS)


@case
def deduplicated_then_counted(spark, env):
    df = env.events(EVENT).withWatermark("ts", "10 minutes").dropDuplicates(["k", "ts"]).groupBy("k").count()
    return env.run_stream(df, "update", STEPS)


def marked(env, name="in", delay="10 minutes"):
    return env.events(EVENT, name).withWatermark("ts", delay)


@case
def distinct_by_event_time(spark, env):
    return env.run_stream(marked(env).select("k", "ts").distinct(), "append", STEPS)


@case
def by_window(spark, env):
    df = marked(env).select(window("ts", "10 minutes"), "k", "v").dropDuplicates(["window", "k"])
    return env.run_stream(df, "append", STEPS)


@case
def within_watermark_by_event_time(spark, env):
    return env.run_stream(marked(env).dropDuplicatesWithinWatermark(["k", "ts"]), "append", STEPS)


@case
def late_rows_pass_when_their_time_is_not_read(spark, env):
    return env.run_stream(marked(env).dropDuplicates(["k"]).select("k", "v"), "append", STEPS)


@case
def twice(spark, env):
    return env.run_stream(marked(env).dropDuplicates(["k", "ts"]).dropDuplicates(["v"]), "append", STEPS)


@case
def of_a_union(spark, env):
    df = marked(env).union(marked(env, "other", "5 minutes")).dropDuplicates(["k", "ts"])
    steps = [{"in": STEPS[0], "other": STEPS[0]}, {"in": STEPS[1], "other": STEPS[2]}, {"in": STEPS[2], "other": STEPS[3]}]
    return env.run_stream(df, "append", steps)


@case
def of_a_union_within_watermark(spark, env):
    df = marked(env).union(marked(env, "other", "5 minutes")).dropDuplicatesWithinWatermark(["k"])
    steps = [{"in": STEPS[0], "other": STEPS[0]}, {"in": STEPS[1], "other": STEPS[2]}, {"in": STEPS[2], "other": STEPS[3]}]
    return env.run_stream(df, "append", steps)


@case
def then_windows_in_append(spark, env):
    df = marked(env).dropDuplicates(["k", "ts"]).groupBy(window("ts", "10 minutes")).count()
    return env.run_stream(df, "append", STEPS)


@case
def then_grouped_in_complete(spark, env):
    return env.run_stream(marked(env).dropDuplicates(["k", "ts"]).groupBy("k").count(), "complete", STEPS)


@case
def of_windows_by_key(spark, env):
    df = marked(env).groupBy(window("ts", "10 minutes"), "k").count().dropDuplicates(["k"])
    return env.run_stream(df, "append", STEPS)


@case
def floating_point_keys(spark, env):
    steps = [
        [{"d": 0.0}, {"d": -0.0}, {"d": 1.5}],
        [{"d": -0.0}, {"d": None}],
        ['{"d": "NaN"}', '{"d": "NaN"}'],
    ]
    return env.run_stream(env.events("d double").dropDuplicates(["d"]), "append", steps)


@case
def sql_distinct_is_a_grouping(spark, env):
    marked(env).createOrReplaceTempView("events")
    marked(env, "other").createOrReplaceTempView("others")
    both = "select k, ts from events union select k, ts from others"
    return {
        "append": env.run_stream(spark.sql("select distinct k, ts from events"), "append", STEPS),
        "update": env.run_stream(spark.sql("select distinct k from others"), "update", [{"other": s} for s in STEPS]),
        "without event time": env.attempt(
            lambda: env.start(spark.sql("select distinct k from events"), "append").stop()
        ),
        "union": env.attempt(lambda: env.start(spark.sql(both), "append").stop()),
        "union, no event time": env.attempt(
            lambda: env.start(spark.sql("select k from events union select k from others"), "append").stop()
        )
    }


@case
def except_a_table(spark, env):
    table = spark.createDataFrame([("a",)], "k string")
    return env.run_stream(marked(env).select("k").subtract(table), "update", STEPS)


@case
def except_a_table_by_event_time(spark, env):
    table = spark.sql("select 'a' as k, timestamp'2024-01-01 10:00:00' as ts")
    return env.run_stream(marked(env).select("k", "ts").subtract(table), "append", STEPS)


def figures(query):
    """What each batch told of its stateful operators beyond `run_stream`'s line. How many rows eviction looks at is
    the state store's business, and so are its own figures."""
    kept = ("operatorName", "numShufflePartitions", "numStateStoreInstances")
    custom = ("numDroppedDuplicateRows", "numRowsIncrementallyRemoved")
    told = []
    for progress in query.recentProgress:
        document = json.loads(progress.json) if hasattr(progress, "json") else dict(progress)
        told.append([
            {**{k: o[k] for k in kept}, **{k: o["customMetrics"][k] for k in custom if k in o["customMetrics"]}}
            for o in document["stateOperators"]
        ])
    return [operators for operators in told if operators]


@case
def figures_in_progress(spark, env):
    env.write("in/a.json", STEPS[0] + STEPS[1] + STEPS[2])
    plans = {
        "by key": marked(env).dropDuplicates(["k"]),
        "by event time": marked(env).dropDuplicates(["k", "ts"]),
        "within watermark": marked(env).dropDuplicatesWithinWatermark(["k"]),
        "limit": env.events(EVENT).limit(2)
    }
    told = {}
    for name, df in plans.items():
        query = env.start(df)
        query.processAllAvailable()
        told[name] = figures(query)
        query.stop()
    return told


@case
def restarted_in_the_middle(spark, env):
    """Keys outlive the run: what one run has seen is a duplicate in the next."""
    plans = {
        "by key": lambda: marked(env).dropDuplicates(["k"]),
        "by event time": lambda: marked(env).dropDuplicates(["k", "ts"]),
        "within watermark": lambda: marked(env).dropDuplicatesWithinWatermark(["k"]),
        "limit": lambda: marked(env).limit(4)
    }
    for number, step in enumerate(STEPS):
        env.write(f"in/step-{number}.json", step)
        for name, plan in plans.items():
            query = plan().writeStream.format("json").option("path", env.path(f"out-{name}")) \
                .option("checkpointLocation", env.path(f"checkpoint-{name}")).trigger(availableNow=True).start()
            query.awaitTermination()
    return {
        name: {
            batch: sorted(line for file in files for line in file["lines"])
            for batch, files in env.committed(env.path(f"out-{name}"))["batches"].items()
        }
        for name in plans
    }


@case
def batch(spark, env):
    df = spark.createDataFrame(
        [(1, "a", None), (1, "a", None), (1, "b", 2.0), (None, None, None), (None, None, None)],
        "i int, s string, d double"
    ).coalesce(1)
    attempts = {
        "distinct": lambda: df.distinct(),
        "all": lambda: df.dropDuplicates(),
        "subset": lambda: df.dropDuplicates(["i"]).select("i"),
        "drop_duplicates": lambda: df.drop_duplicates(["i", "s"]),
        "unknown": lambda: df.dropDuplicates(["zz"]),
        "text": lambda: df.dropDuplicates("i"),
        "within watermark": lambda: df.dropDuplicatesWithinWatermark(["i"])
    }
    return {name: env.attempt(lambda: env.table(build())) for name, build in attempts.items()}
