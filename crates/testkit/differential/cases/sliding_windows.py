"""Sliding windows on streams: aggregates whose value must not depend on how windows share work."""

from pyspark.sql.functions import (
    approx_count_distinct, avg, col, collect_list, count, expr, first, last, max, max_by, min, stddev, sum, window
)

from harness import case

EVENT = "ts timestamp, k string, v int, x double"


def at(minute: str, k: str = "a", v: int = 1, x: float = 1.0):
    time = minute if minute.count(":") == 2 else f"{minute}:00"
    return {"ts": f"2024-01-01T{time}Z", "k": k, "v": v, "x": x}


STEPS = [
    [at("10:01", v=1, x=1.1), at("10:03", "b", 2, 2.2), at("10:04", v=3, x=3.3), at("10:01:30", v=9, x=0.7)],
    [at("10:12", v=4, x=0.1), at("10:09:59", "b", 5, 0.2), at("10:12:30", v=7, x=0.3), at("10:10", v=6)],
    [at("10:31", v=6), {"k": "a", "v": 8}],
    [at("10:05"), at("10:05"), at("10:20", v=2), at("10:14:59", "b")],
    [at("10:59", v=7)],
    [at("11:30")],
]


def sliding(env, *arguments, delay="10 minutes"):
    return env.events(EVENT).withWatermark("ts", delay).groupBy(window("ts", *arguments), "k")


@case
def counts_and_extremes(spark, env):
    df = sliding(env, "10 minutes", "5 minutes").agg(
        count("*").alias("n"), sum("v").alias("s"), min("v").alias("lo"), max("x").alias("hi")
    ).select("window.start", "window.end", "k", "n", "s", "lo", "hi")
    return {mode: env.run_stream(df, mode, STEPS) for mode in ["append"]}


@case
def counts_in_update_mode(spark, env):
    df = sliding(env, "10 minutes", "5 minutes").agg(count("*").alias("n"), sum("v").alias("s"))
    return env.run_stream(df, "update", STEPS)


@case
def counts_in_complete_mode(spark, env):
    df = sliding(env, "10 minutes", "5 minutes").agg(count("*").alias("n"), sum("v").alias("s"))
    return env.run_stream(df, "complete", STEPS)


@case
def a_slide_that_does_not_divide_the_duration(spark, env):
    df = sliding(env, "10 minutes", "4 minutes").agg(count("*").alias("n"), sum("v").alias("s"))
    return env.run_stream(df, "append", STEPS)


@case
def with_an_offset(spark, env):
    df = sliding(env, "10 minutes", "4 minutes", "-90 seconds").agg(count("*").alias("n"))
    return env.run_stream(df, "append", STEPS)


@case
def before_the_epoch(spark, env):
    df = env.events(EVENT).groupBy(window("ts", "10 seconds", "4 seconds", "1 second")).count()
    step = [{"ts": "1969-12-31T23:59:58.5Z"}, {"ts": "1970-01-01T00:00:00Z"}, {"ts": "1969-12-31T23:59:49Z"}]
    return env.run_stream(df, "update", [step])


@case
def fractions_and_order(spark, env):
    """Sums of fractions and first and last depend on the order of rows."""
    df = sliding(env, "10 minutes", "5 minutes").agg(
        sum("x").alias("s"), avg("x").alias("a"), stddev("x").alias("d"), first("v").alias("f"), last("v").alias("l"),
        collect_list("v").alias("all"), max_by("k", "v").alias("m"), approx_count_distinct("v").alias("c"),
        avg("v").alias("av")
    )
    return env.run_stream(df, "append", STEPS)


@case
def aggregates_of_the_window(spark, env):
    df = env.events(EVENT).withWatermark("ts", "10 minutes") \
        .select(window("ts", "10 minutes", "5 minutes").alias("w"), "k", "v") \
        .groupBy("w", "k").agg(count("*").alias("n"), max("w.end").alias("e"))
    return env.run_stream(df, "append", STEPS)


@case
def expressions_beside_the_window(spark, env):
    df = env.events(EVENT).withWatermark("ts", "10 minutes").where("v > 1") \
        .groupBy(window("ts", "10 minutes", "5 minutes").alias("w"), expr("upper(k)").alias("key"), col("v") % 2) \
        .agg(sum(col("v") + 1).alias("s"), expr("count(*) filter (where v > 2)").alias("big"))
    return env.run_stream(df, "append", STEPS)


@case
def filtered_by_the_window(spark, env):
    df = env.events(EVENT).withWatermark("ts", "10 minutes") \
        .select(window("ts", "10 minutes", "5 minutes").alias("w"), "k", "v") \
        .where("w.start >= timestamp'2024-01-01 10:00:00'").groupBy("w", "k").count()
    return env.run_stream(df, "append", STEPS)


@case
def projected(spark, env):
    df = env.events(EVENT).withWatermark("ts", "10 minutes").select("k", window("ts", "10 minutes", "4 minutes"))
    return env.run_stream(df, "append", STEPS[:2])


@case
def in_sql(spark, env):
    env.events(EVENT).withWatermark("ts", "10 minutes").createOrReplaceTempView("events")
    df = spark.sql(
        "select window.start, k, sum(v) as s, count(*) as n from events group by k, window(ts, '10 minutes', '5 minutes')"
    )
    return env.run_stream(df, "append", STEPS)


@case
def windows_over_windows(spark, env):
    small = sliding(env, "10 minutes", "5 minutes").agg(sum("v").alias("s"))
    large = small.groupBy(window("window", "30 minutes", "15 minutes")).agg(max("s").alias("s"), count("*").alias("n"))
    return env.run_stream(large, "append", STEPS)


@case
def shown_from_files(spark, env):
    """A batch query over files, printed and collected."""
    env.write("in/a.json", [{"ts": "2024-01-01T10:28:00Z", "v": 1}, {"ts": "2024-01-01T10:38:00Z", "v": 2}, {"v": 3}])
    df = spark.read.schema("ts timestamp, v int").json(env.path("in"))
    counted = df.groupBy(window("ts", "20 minutes", "10 minutes")).count()
    never_null = spark.range(3).selectExpr("timestamp_seconds(id * 700) as ts")
    return {
        "rows": env.rows(counted),
        "shown": env.printed(lambda: counted.orderBy("window").show(truncate=False)),
        "tumbling over a time that is never NULL": env.printed(
            lambda: never_null.groupBy(window("ts", "20 minutes")).count().orderBy("window").show(truncate=False)
        ),
        "sliding over a time that is never NULL": env.printed(
            lambda: never_null.groupBy(window("ts", "20 minutes", "10 minutes")).count().orderBy("window").show(truncate=False)
        ),
    }
