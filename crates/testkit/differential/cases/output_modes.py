"""Output modes against operations: what starts, what is refused and with which error."""

from pyspark.sql import Window
from pyspark.sql.functions import (
    approx_count_distinct, col, collect_list, count, countDistinct, explode, expr, array, lit, max_by,
    monotonically_increasing_id, row_number, session_window, window
)

from harness import case

EVENT = "ts timestamp, k string, v int"
MODES = ("append", "update", "complete")


def modes(env, df, *, modes=MODES):
    """Each mode by itself: "ok" when a first batch ran, else the error."""
    env.directory("in")
    if not env.tree("in"):
        env.write("in/a.json", [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}])
    return {mode: env.attempt(lambda: run(df, mode)) for mode in modes}


def run(df, mode):
    query = df.writeStream.format("noop").outputMode(mode).start()
    try:
        query.processAllAvailable()
        return "ok"
    finally:
        query.stop()


def plain(env):
    return env.events(EVENT)


def marked(env):
    return env.events(EVENT).withWatermark("ts", "10 minutes")


@case
def stateless(spark, env):
    return modes(env, plain(env).where("v > 0").select("k", explode(array("v", lit(2))).alias("x")))


@case
def grouped_without_watermark(spark, env):
    return modes(env, plain(env).groupBy("k").count())


@case
def global_aggregate(spark, env):
    return modes(env, plain(env).agg(count("*").alias("n")))


@case
def window_without_watermark(spark, env):
    return modes(env, plain(env).groupBy(window("ts", "10 minutes")).count())


@case
def window_with_watermark(spark, env):
    return modes(env, marked(env).groupBy(window("ts", "10 minutes"), "k").count())


@case
def watermark_off_the_keys(spark, env):
    return modes(env, marked(env).groupBy("k").count())


@case
def session_with_a_key(spark, env):
    return modes(env, marked(env).groupBy("k", session_window("ts", "5 minutes")).count())


@case
def session_alone(spark, env):
    return modes(env, marked(env).groupBy(session_window("ts", "5 minutes")).count())


@case
def chained_aggregates(spark, env):
    return modes(
        env,
        marked(env).groupBy(window("ts", "10 minutes")).count().groupBy(window("window", "1 hour")).count()
    )


@case
def distinct_aggregates(spark, env):
    return {
        "countDistinct": modes(env,
                               plain(env).groupBy("k").agg(countDistinct("v"))),
        "approximate": modes(
            env, plain(env).groupBy("k").agg(approx_count_distinct("v")), modes=["update", "complete"]
        )
    }


@case
def distinct_rows(spark, env):
    return modes(env, plain(env).select("k").distinct())


@case
def drop_duplicates(spark, env):
    return {
        "without watermark": modes(env,
                                   plain(env).dropDuplicates(["k"])),
        "with event time": modes(env,
                                 marked(env).dropDuplicates(["k", "ts"])),
        "within watermark": modes(env,
                                  marked(env).dropDuplicatesWithinWatermark(["k"])),
        "within watermark, none set": modes(
            env, plain(env).dropDuplicatesWithinWatermark(["k"]), modes=["append"]
        ),
        "then aggregated": modes(env,
                                 plain(env).dropDuplicates(["k"]).groupBy("v").count()),
        "unknown column": env.error(lambda: plain(env).dropDuplicates(["nope"]).schema)
    }


@case
def sorting(spark, env):
    return {
        "plain": modes(env,
                       plain(env).orderBy("v")),
        "aggregated": modes(env,
                            plain(env).groupBy("k").count().orderBy("count"))
    }


@case
def limits(spark, env):
    return {
        "plain": modes(env,
                       plain(env).limit(1)),
        "aggregated": modes(env,
                            plain(env).groupBy("k").count().limit(1)),
        "offset": modes(env,
                        plain(env).offset(1)),
        "sample": modes(env, plain(env).sample(0.5), modes=["append", "update"])
    }


@case
def limit_counts_over_the_whole_query(spark, env):
    event = lambda v: {"ts": "2024-01-01T10:00:00Z", "k": "a", "v": v}
    return env.run_stream(
        plain(env).select("v").limit(3), "append", [[event(1), event(2)], [event(3), event(4)], [event(5)]]
    )


@case
def limits_and_other_operators(spark, env):
    event = lambda time, k, v: {"ts": f"2024-01-01T{time}:00Z", "k": k, "v": v}
    steps = [
        [event("10:00", "a", 1), event("10:00", "a", 2), event("10:01", "b", 3)],
        [event("10:00", "a", 4), event("10:05", "a", 5)],
        [event("10:40", "c", 6)],
    ]

    def run(name, build, mode):
        df = build(env.events(EVENT, name).withWatermark("ts", "10 minutes"))
        return env.run_stream(df, mode, [{name: step} for step in steps])

    return {
        "of deduplicated": run("a", lambda df: df.dropDuplicates(["k", "ts"]).select("k").limit(3), "append"),
        "then deduplicated": run("b", lambda df: df.limit(4).dropDuplicates(["k", "ts"]), "append"),
        "then aggregated": run("c", lambda df: df.limit(4).groupBy("k").count(), "complete"),
        "of an aggregation": run("d", lambda df: df.groupBy("k").count().orderBy("k").limit(2), "complete"),
        "of windows": run("f", lambda df: df.groupBy(window("ts", "10 minutes")).count().limit(1), "append")
    }


@case
def limit_of_a_limit(spark, env):
    event = lambda v: {"ts": "2024-01-01T10:00:00Z", "k": "a", "v": v}
    return env.run_stream(
        plain(env).select("v").limit(4).limit(2), "append", [[event(1), event(2), event(3)], [event(4)]]
    )


@case
def analytic_functions(spark, env):
    over = Window.partitionBy("k").orderBy("ts")
    return {
        "row_number": modes(env,
                            plain(env).withColumn("n",
                                                  row_number().over(over))),
        "sum over": modes(
            env, plain(env).selectExpr("sum(v) over (partition by k order by ts) as s"), modes=["append"]
        )
    }


@case
def unsupported_expressions(spark, env):
    return {
        "monotonically_increasing_id": modes(
            env, plain(env).select(monotonically_increasing_id()), modes=["append", "update"]
        ),
        "rollup": modes(env,
                        plain(env).rollup("k").count()),
        "cube": modes(env,
                      plain(env).cube("k", "v").count()),
        "pivot": modes(env,
                       plain(env).groupBy("k").pivot("v", [1, 2]).count()),
        "collect_list": modes(
            env,
            plain(env).groupBy("k").agg(collect_list("v"), max_by("v", "ts")),
            modes=["update", "complete"]
        )
    }


@case
def with_batch_data(spark, env):
    static = spark.createDataFrame([("a", 1)], "k string, x int")
    return {
        "union with batch": modes(env, plain(env).select("k").union(static.select("k")), modes=["append"]),
        "intersect": modes(env, plain(env).select("k").intersect(static.select("k")), modes=["append"]),
        "except on the right": modes(
            env, static.select("k").subtract(plain(env).select("k")), modes=["append"]
        ),
        "inner": modes(env,
                       plain(env).join(static, "k")),
        "left": modes(env, plain(env).join(static, "k", "left"), modes=["append"]),
        "right": modes(env, plain(env).join(static, "k", "right"), modes=["append"]),
        "full": modes(env, plain(env).join(static, "k", "full"), modes=["append"]),
        "semi": modes(env, plain(env).join(static, "k", "semi"), modes=["append"]),
        "anti": modes(env, plain(env).join(static, "k", "anti"), modes=["append"]),
        "static left": modes(env, static.join(plain(env), "k", "left"), modes=["append"]),
        "static right": modes(env, static.join(plain(env), "k", "right"), modes=["append"]),
        "static anti": modes(env, static.join(plain(env), "k", "anti"), modes=["append"]),
        "cross": modes(env, plain(env).crossJoin(static), modes=["append"]),
    }


@case(timeout_seconds=30)
def stream_stream_joins(spark, env):
    left, right = marked(env), env.events("rts timestamp, rk string",
                                          "right").withWatermark("rts", "10 minutes")
    bare = env.events("rts timestamp, rk string", "right")
    ranged = "k = rk and rts between ts and ts + interval 5 minutes"
    join = lambda r, on, how: left.join(r, expr(on), how)
    return {
        "inner": modes(env, join(right, "k = rk", "inner")),
        "inner, no watermark on the right": modes(env, join(bare, "k = rk", "inner"), modes=["append"]),
        "no equality": modes(env, join(right, "rts > ts", "inner"), modes=["append"]),
        "left without a range": modes(env, join(right, "k = rk", "leftOuter")),
        "left with a range": modes(env, join(right, ranged, "leftOuter")),
        "left, no watermark on the right": modes(env, join(bare, ranged, "leftOuter"), modes=["append"]),
        "right with a range": modes(env, join(right, ranged, "rightOuter"), modes=["append"]),
        "full with a range": modes(env, join(right, ranged, "fullOuter"), modes=["append"]),
        "semi with a range": modes(env, join(right, ranged, "leftsemi"), modes=["append", "update"]),
        "anti with a range": modes(env, join(right, ranged, "leftanti"), modes=["append"]),
    }


@case
def mode_texts(spark, env):
    return {text: modes(env, plain(env), modes=[text])[text] for text in ("Append", "UPDATE", "appendd")}


@case
def file_sink_takes_append_only(spark, env):
    env.write("in/a.json", [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}])
    df = plain(env).groupBy("k").count()

    def start(mode, fmt):
        return df.writeStream.format(fmt).outputMode(mode).option("path", env.path(f"out-{fmt}")) \
            .option("checkpointLocation", env.path(f"chk-{fmt}-{mode}")).start()

    return {
        f"{fmt} {mode}": env.error(lambda: start(mode, fmt))
        for fmt in ("json", "parquet", "csv")
        for mode in MODES
    }


@case
def correctness_check_can_be_turned_off(spark, env):
    spark.conf.set("spark.sql.streaming.unsupportedOperationCheck", "false")
    return modes(env, plain(env).select("k", "v").orderBy(col("v").desc()), modes=["append"])
