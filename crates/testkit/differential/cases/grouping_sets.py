"""Rollup, cube, grouping sets and pivot over streams."""

from pyspark.sql.functions import col, count, expr, grouping, grouping_id, sum, window, window_time

from harness import case

EVENT = "ts timestamp, k string, v int, s struct<w: struct<start: timestamp, end: timestamp>, t: timestamp>"


def at(minute: str, k: str = "a", v: int = 1):
    return {"ts": f"2024-01-01T{minute}:00Z", "k": k, "v": v}


def marked(env):
    return env.events(EVENT).withWatermark("ts", "10 minutes")


STEPS = [
    [at("10:01"), at("10:02", "b", 2), at("10:03", None, 3)],
    [at("10:12", v=5), at("10:13", v=None)],
    [at("10:40", "c")],
    [at("10:05"), at("10:41", "c", 2)],
    [at("11:40")],
]


@case
def rollup(spark, env):
    df = env.events(EVENT).rollup("k", "v").agg(
        count("*").alias("n"), sum("v").alias("s"), grouping("k").alias("gk"), grouping_id().alias("g"))
    return {mode: env.run_stream(df, mode, STEPS) for mode in ["update", "complete"]}


@case
def cube(spark, env):
    df = env.events(EVENT).cube("k", "v").agg(count("*").alias("n"), grouping("v").alias("gv"))
    return env.run_stream(df, "update", STEPS)


@case
def grouping_sets_in_sql(spark, env):
    env.events(EVENT).createOrReplaceTempView("events")
    df = spark.sql(
        "select k, v, count(*) as n, grouping_id(k, v) as g from events group by grouping sets ((k), (v), (k, v), ())"
    )
    return env.run_stream(df, "update", STEPS)


@case
def repeated_sets(spark, env):
    env.events(EVENT).createOrReplaceTempView("events")
    df = spark.sql("select k, count(*) as n from events group by grouping sets ((k), (k), ())")
    return env.run_stream(df, "update", STEPS[:3])


@case
def rollup_with_a_window(spark, env):
    df = marked(env).rollup(window("ts", "10 minutes"), "k").agg(count("*").alias("n"))
    return {mode: env.run_stream(df, mode, STEPS) for mode in ["append", "update"]}


@case
def cube_with_a_window(spark, env):
    df = marked(env).cube("k", window("ts", "10 minutes")).agg(count("*").alias("n"), sum("v").alias("s"))
    return env.run_stream(df, "append", STEPS)


@case
def rollup_with_a_sliding_window(spark, env):
    df = marked(env).rollup(window("ts", "10 minutes", "5 minutes"), "k").agg(count("*").alias("n"))
    return env.run_stream(df, "append", STEPS)


@case
def rollup_with_event_time(spark, env):
    df = marked(env).rollup("ts", "k").count()
    return env.run_stream(df, "append", STEPS)


@case
def rollup_of_an_expression(spark, env):
    df = env.events(EVENT).rollup((col("v") % 2).alias("odd"), expr("upper(k)").alias("u")).agg(sum("v").alias("s"))
    return env.run_stream(df, "update", STEPS)


@case
def pivot_with_a_window(spark, env):
    df = marked(env).groupBy(window("ts", "10 minutes")).pivot("k", ["a", "b"]).agg(sum("v"))
    return {mode: env.attempt(lambda: env.run_stream(df, mode, STEPS)) for mode in ["append", "update", "complete"]}


@case
def pivot_without_values(spark, env):
    return env.error(lambda: env.start(marked(env).groupBy("v").pivot("k").count(), "update"))


@case
def window_over_a_nested_time(spark, env):
    """A nested column cannot carry a watermark, but it can be windowed."""
    df = env.events(EVENT).groupBy(window("s.t", "10 minutes")).agg(count("*").alias("n"))
    step = [{"s": {"t": "2024-01-01T10:01:00Z"}}, {"s": {"t": None}}, {"k": "a"}]
    return {mode: env.attempt(lambda: env.run_stream(df, mode, [step])) for mode in ["update", "append"]}


@case
def nested_keys(spark, env):
    df = env.events(EVENT).groupBy("s.t", "s").agg(count("*").alias("n"))
    step = [{"s": {"t": "2024-01-01T10:01:00Z", "w": None}}, {"s": {"t": None}}, {"k": "a"}, {"s": {"t": "2024-01-01T10:01:00Z"}}]
    return env.run_stream(df, "update", [step, step])


@case
def a_window_that_is_a_key_and_projected(spark, env):
    df = marked(env).select("k", "v", window("ts", "10 minutes").alias("w")).groupBy("w").agg(sum("v").alias("v"))
    return env.run_stream(df.select("w.start", window_time("w").alias("t"), "v"), "append", STEPS)


@case
def event_time_grouped_by_itself_and_a_key(spark, env):
    df = marked(env).groupBy("k", "ts").agg(sum("v").alias("v"))
    return env.run_stream(df, "append", STEPS)


@case
def event_time_as_an_expression(spark, env):
    """A time computed from the event time carries no watermark."""
    df = marked(env).groupBy(expr("date_trunc('hour', ts)").alias("h")).count()
    return {mode: env.attempt(lambda: env.run_stream(df, mode, STEPS)) for mode in ["append", "update"]}


@case
def event_time_renamed(spark, env):
    df = marked(env).select(col("ts").alias("time"), "k").groupBy("time").count()
    return env.run_stream(df, "append", STEPS)


@case
def window_over_a_renamed_time(spark, env):
    df = marked(env).withColumnRenamed("ts", "time").groupBy(window("time", "10 minutes").alias("w")).count()
    return env.run_stream(df, "append", STEPS)


@case
def window_time_grouped_by(spark, env):
    small = marked(env).groupBy(window("ts", "10 minutes"), "k").agg(count("*").alias("n"))
    # Without the second aggregate Spark's optimiser would make one aggregation of the two.
    by_time = small.groupBy(window_time("window").alias("t")).agg(sum("n").alias("n"), count("*").alias("keys"))
    return env.run_stream(by_time, "append", STEPS)


@case
def windows_grouped_by_again(spark, env):
    small = marked(env).groupBy(window("ts", "10 minutes"), "k").agg(count("*").alias("n"))
    return env.run_stream(small.groupBy("window").agg(sum("n").alias("n"), count("*").alias("keys")), "append", STEPS)


@case(timeout_seconds=120)
def what_grouping_may_be_asked(spark, env):
    """Keys alone, all of them for `grouping_id`, and only where there are sets."""
    df = spark.createDataFrame([(1, 1), (2, 20), (2, 30)], "i int, v int")
    df.createOrReplaceTempView("t")
    told = env.queries(
        [
            "select i, grouping(i) from t group by cube(i)",
            "select i, grouping(v) from t group by cube(i)",
            "select i, grouping_id(v) from t group by cube(i)",
            "select i, v, grouping_id(i) from t group by cube(i, v)",
            "select i, v, grouping_id(v, i) from t group by cube(i, v)",
            "select i, v, grouping_id(i, v) from t group by cube(i, v)",
            "select i, grouping_id(i) from t group by i, v grouping sets ((i), (v))",
            "select grouping(i + 1) from t group by cube(i + 1)",
            "select i, grouping(i) from t group by i",
            "select grouping(i) from t",
            "select i from t group by cube(i) having grouping(i) = 1",
            "select i from t group by cube(i) order by grouping(i), i",
            "select i from t group by cube(i) order by grouping(v)",
            "select i from t group by cube(i) order by grouping_id(v)",
            "select i from t group by i having grouping(i) = 1",
            "select i from t group by i order by grouping_id(i)",
            "select i from t where grouping(i) = 1",
            "select i from t order by grouping(i)",
            "select i from t group by grouping(i)",
            "select i from t group by cube(grouping(i))",
            "select t.i from t join t u on grouping(t.i) = 1",
        ]
    )
    frames = {
        "cube": lambda: df.cube("i").agg(grouping("v")),
        "id of a cube": lambda: df.cube("i").agg(grouping_id("v")),
        "groupBy": lambda: df.groupBy("i").agg(grouping("i")),
        "select": lambda: df.select(grouping_id()),
        "withColumn": lambda: df.withColumn("g", grouping("i")),
        "filter": lambda: df.filter(grouping("i") == 1),
    }
    told.update({name: env.error(lambda: build().schema) for name, build in frames.items()})
    return told
