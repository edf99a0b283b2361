"""Dropping duplicates: in batch, for ever in a stream, and within the watermark."""

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
