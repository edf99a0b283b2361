"""Session windows: how sessions merge over batches, when they close, and what the function takes."""

from pyspark.sql.functions import (
    avg, col, collect_list, count, expr, first, last, lit, max, min, session_window, sum, when, window, window_time
)

from harness import case

EVENT = "ts timestamp, k string, v int"


def at(minute: str, k: str = "a", v: int = 1):
    time = minute if minute.count(":") == 2 else f"{minute}:00"
    return {"ts": f"2024-01-01T{time}Z", "k": k, "v": v}


def marked(env, delay: str = "10 minutes"):
    return env.events(EVENT).withWatermark("ts", delay)


def counted(df, gap="5 minutes", *keys):
    keys = keys or ("k", )
    return df.groupBy(*keys, session_window("ts", gap)).count() \
        .select(*keys, "session_window.start", "session_window.end", "count")


def rows(spark):
    data = [
        ("a", "2024-01-01 10:00:00", 1, 1.5), ("a", "2024-01-01 10:03:00", 2, 2.5),
        ("a", "2024-01-01 10:20:00", 3, None), ("b", "2024-01-01 10:00:00", 4, 0.5),
        ("b", "2024-01-01 10:05:00", None, 1.0), ("c", None, 6, 1.0), (None, "2024-01-01 10:00:00", 7, 1.0),
        (None, "2024-01-01 10:04:59.999999", 8, 1.0)
    ]
    return spark.createDataFrame(data, "k string, text string, v int, x double") \
        .withColumn("ts", expr("cast(text as timestamp)"))


# ---- batch ------------------------------------------------------------------------------------


@case
def batch_aggregates(spark, env):
    grouped = rows(spark).groupBy("k", session_window("ts", "5 minutes"))
    return {
        "several": env.table(
            grouped.agg(count("*"), sum("v"), avg("x"), min("ts"), max("v"), collect_list("v"))
        ),
        "distinct": env.table(grouped.agg(expr("count(distinct v)"), expr("sum(distinct v)"))),
        "filtered": env.table(grouped.agg(expr("count(*) filter (where v > 1)"))),
        "expressions": env.table(
            grouped.agg((sum("v") + 1).alias("s"), max(col("v")))
        ),
        "of the session": env.attempt(lambda: env.table(grouped.agg(max("session_window.end")))),
    }


@case
def batch_schema(spark, env):
    grouped = rows(spark).groupBy("k", session_window("ts", "5 minutes")).count()
    return {
        "grouped": env.schema(grouped, nullability=True),
        "projected": env.schema(rows(spark).select(session_window("ts", "5 minutes")), nullability=True),
        "renamed": env.schema(
            rows(spark).groupBy(session_window("ts", "5 minutes").alias("s"), "k").count()
        )
    }


@case
def batch_without_other_keys(spark, env):
    return env.table(rows(spark).groupBy(session_window("ts", "5 minutes")).agg(count("*"), sum("v")))


@case
def batch_projected(spark, env):
    return env.table(rows(spark).select("k", "text", session_window("ts", "5 minutes").alias("s")))


@case
def batch_dynamic_gap(spark, env):
    df = rows(spark)
    gap = when(col("k") == "a", "5 seconds").when(col("v") == 5, "20 minutes").otherwise("10 minutes")
    some = when(col("k") == "a", "5 minutes")
    gaps = {
        "when": gap,
        "with null": some,
        "zero for b": when(col("k") == "b", "0 seconds").otherwise("5 minutes"),
        "negative for b": when(col("k") == "b", "-5 seconds").otherwise("5 minutes"),
        "interval": expr("make_dt_interval(0, 0, 5)"),
        "calendar interval": expr("make_interval(0, 0, 0, 0, 0, 5)"),
        "month": lit("1 month"),
        "literal interval": expr("interval '5' minute"),
        "bad text": when(col("k") == "b", "soon").otherwise("5 minutes"),
        "number": col("v"),
        "negative": lit("-5 minutes"),
        "zero": lit("0 seconds"),
        "null": expr("cast(null as string)"),
        "no interval": lit("soon"),
    }
    return {
        name: env.attempt(
            lambda: env.rows(
                df.groupBy("k", session_window("ts", gap)).count().
                select("k", "session_window.start", "session_window.end", "count")
            )
        )
        for name, gap in gaps.items()
    }


@case
def batch_refused(spark, env):
    df = rows(spark)
    s = session_window("ts", "5 minutes")
    attempts = {
        "two sessions": lambda: df.groupBy(s, session_window("ts", "6 minutes")).count(),
        "same session twice": lambda: df.groupBy("k", s, s).count(),
        "session and window": lambda: df.groupBy(s, window("ts", "1 hour")).count(),
        "of a number": lambda: df.groupBy("k", session_window("v", "5 minutes")).count(),
        "of text": lambda: df.groupBy("k", session_window("text", "5 minutes")).count(),
        "of a date": lambda: df.groupBy("k", session_window(expr("cast(text as date)"), "5 minutes")).count(),
        "in where": lambda: df.where(expr("session_window(ts, '5 minutes').start is not null")).select("k"),
    }
    return {name: env.attempt(lambda: env.table(make())) for name, make in attempts.items()}


@case
def batch_in_sql(spark, env):
    rows(spark).createOrReplaceTempView("t")
    return env.queries(
        [
            "select k, session_window.start, session_window.end, count(*) as n from t group by k, session_window(ts, '5 minutes')",
            "select k, session_window(ts, '5 minutes') as s, sum(v) as n from t group by 1, 2",
            (
                "select session_window.start, count(*) from t where v > 1 group by session_window(ts, "
                "case when k = 'a' then interval 1 day else interval '10 00:00:00' day to second end)"
            ),
            "select k, session_window, count(*) from t group by k, session_window(ts, '5 minutes') having count(*) > 1",
            "select k, window_time(session_window) as wt from t group by k, session_window(ts, '5 minutes')",
            "select session_window(ts)",
            "select k, count(*) from t group by k, session_window(ts, '5 minutes', '1 minute')",
        ]
    )


@case
def batch_regrouped(spark, env):
    """A session is a session again when it is a key of a second aggregation; a window may lie over it."""
    sessions = rows(spark).groupBy("k", session_window("ts", "5 minutes")).agg(count("*").alias("n"))
    attempts = {
        "by session": lambda: sessions.groupBy("session_window").agg(sum("n")),
        "by window": lambda: sessions.groupBy(window("session_window", "1 hour")).agg(sum("n")),
        "by window time": lambda: sessions.groupBy(window(window_time("session_window"), "1 hour")).agg(sum("n")),
        "by session of session": lambda: sessions.groupBy(session_window("session_window", "10 minutes")).agg(sum("n")),
        "session over window": lambda: rows(spark).groupBy(window("ts", "1 minute")).count().groupBy(
            session_window("window", "2 minutes")).agg(sum("count")),
    }
    return {name: env.attempt(lambda: env.table(make())) for name, make in attempts.items()}


# ---- streams ----------------------------------------------------------------------------------


@case
def merging_over_batches(spark, env):
    """Rows that extend, precede, bridge and touch sessions in state."""
    steps = [
        [at("10:00"), at("10:20"), at("10:30")],
        [at("10:04")],
        [at("10:16")],
        [at("10:25")],
        [at("10:10"), at("10:14", "b")],
        [at("10:15:00.001")],
        [at("11:30")],
    ]
    return env.run_stream(counted(marked(env, "1 hour")), "append", steps)


@case
def late_rows(spark, env):
    """A row is late by its own end; one that is older than a closed session but not late opens another."""
    steps = [
        [at("10:00"), at("10:30")],
        [at("10:16"), at("10:15"), at("10:14:59"), at("10:00")],
        [at("10:12", "b"), at("10:17")],
        [at("10:50")],
        [at("10:34:59"), at("10:35"), at("10:35:00.001"), at("10:36")],
        [at("11:30")],
    ]
    return env.run_stream(counted(marked(env)), "append", steps)


@case
def late_rows_are_counted_after_partial_aggregation(spark, env):
    steps = [[at("10:30")], [at("10:00"), at("10:00"), at("10:01"), at("10:00", "b")], [at("11:00")]]
    return env.run_stream(counted(marked(env)), "append", steps)


@case
def without_no_data_batches(spark, env):
    spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    steps = [[at("10:00"), at("10:30")], [at("10:01")], [at("10:02")], [at("10:50")], [at("11:30")]]
    return env.run_stream(counted(marked(env)), "append", steps)


@case
def complete(spark, env):
    steps = [[at("10:00"), at("10:30")], [at("10:34")], [at("10:01"), at("10:02", "b")], [at("11:30")]]
    return env.run_stream(counted(marked(env)), "complete", steps)


@case
def complete_without_watermark(spark, env):
    steps = [[at("10:00"), at("10:30")], [at("10:34")], [at("10:01"), at("10:02", "b")]]
    return env.run_stream(counted(env.events(EVENT)), "complete", steps)


@case
def modes_without_watermark(spark, env):
    return {
        mode: env.error(lambda: env.start(counted(env.events(EVENT)), mode).processAllAvailable())
        for mode in ["append", "update"]
    }


@case
def dynamic_gap(spark, env):
    gap = when(col("v") == 1, "5 seconds").when(col("v") == 2, "20 minutes").when(
        col("v") == 0, "0 seconds").otherwise("5 minutes")
    steps = [
        [at("10:00", v=1), at("10:00", "b", v=2), at("10:01", v=0), at("10:01", "c", v=3)],
        [at("10:10", "b", v=1), at("10:05", "c", v=1), at("10:00:05", v=1)],
        [at("10:40", v=3)],
        [at("11:30", v=3)],
    ]
    return env.run_stream(counted(marked(env), gap), "append", steps)


@case
def null_times_and_keys(spark, env):
    steps = [
        [{"k": "a", "v": 1}, at("10:00", None), at("10:01")],
        [{"ts": None, "k": "a"}, at("10:03", None)],
        [at("10:40")],
    ]
    return env.run_stream(counted(marked(env)), "append", steps)


@case
def aggregates_in_state(spark, env):
    df = marked(env).groupBy("k", session_window("ts", "5 minutes")).agg(
        count("*").alias("n"), sum("v").alias("s"), avg("v").alias("a"), min("v").alias("lo"), max("v").alias("hi"),
        first("v").alias("f"), last("v").alias("l"), collect_list("v").alias("all"),
        expr("count(*) filter (where v > 2)").alias("big")
    ).drop("session_window")
    steps = [
        [at("10:04", v=1), at("10:00", v=2), at("10:20", "b", v=3)],
        [at("10:02", v=4), at("10:25", "b", v=5), at("10:08", v=6)],
        [at("10:16", "b", v=7)],
        [at("11:00", v=8)],
    ]
    return env.run_stream(df, "append", steps)


@case
def several_keys(spark, env):
    df = marked(env).groupBy("k", (col("v") % 2).alias("odd"), session_window("ts", "5 minutes")).count()
    steps = [[at("10:00", v=1), at("10:01", v=2), at("10:02", v=3), at("10:00", "b")], [at("10:05", v=4)], [at("10:40")]]
    return env.run_stream(df, "append", steps)


@case
def session_first_among_the_keys(spark, env):
    df = marked(env).groupBy(session_window("ts", "5 minutes").alias("s"), "k").agg(sum("v").alias("v"))
    return env.run_stream(df, "append", [[at("10:00"), at("10:01")], [at("10:05", "b")], [at("10:40")]])


@case
def no_aggregates(spark, env):
    df = marked(env).groupBy("k", session_window("ts", "5 minutes")).agg(lit(1).alias("one"))
    return env.run_stream(df, "append", [[at("10:00"), at("10:01")], [at("10:04")], [at("10:40")]])


@case
def a_window_over_sessions(spark, env):
    """Sessions counted by the hour; both operators close in one batch."""
    sessions = marked(env).groupBy("k", session_window("ts", "5 minutes")).agg(count("*").alias("n"))
    hours = sessions.groupBy(window("session_window", "1 hour")).agg(
        count("*").alias("sessions"), sum("n").alias("rows")).select("window.start", "sessions", "rows")
    steps = [[at("10:00"), at("10:01"), at("10:58", "b")], [at("11:10")], [at("11:30")], [at("12:30")], [at("13:30")]]
    return env.run_stream(hours, "append", steps)


@case
def sessions_over_windows(spark, env):
    minutes = marked(env).groupBy("k", window("ts", "1 minute")).agg(count("*").alias("n"))
    sessions = minutes.groupBy("k", session_window("window", "2 minutes")).agg(sum("n").alias("n"))
    steps = [[at("10:00"), at("10:01:30"), at("10:06")], [at("10:14")], [at("10:30")], [at("11:30")]]
    return env.run_stream(sessions, "append", steps)


@case
def sessions_of_sessions(spark, env):
    small = marked(env).groupBy("k", session_window("ts", "2 minutes")).agg(count("*").alias("n"))
    large = small.groupBy("k", session_window(window_time("session_window"), "10 minutes")).agg(
        count("*").alias("sessions"), sum("n").alias("rows"))
    steps = [[at("10:00"), at("10:01"), at("10:08")], [at("10:30")], [at("10:35")], [at("12:30")]]
    return env.run_stream(large, "append", steps)


@case
def in_sql_on_a_stream(spark, env):
    marked(env).createOrReplaceTempView("events")
    df = spark.sql(
        "select k, session_window.start, session_window.end, count(*) as n from events "
        "group by k, session_window(ts, case when v > 1 then '1 minute' else '5 minutes' end)"
    )
    steps = [[at("10:00"), at("10:04", v=2)], [at("10:05", v=2), at("10:01", "b")], [at("10:40")]]
    return env.run_stream(df, "append", steps)


@case
def watermark_on_another_column(spark, env):
    df = env.events("ts timestamp, other timestamp, k string").withWatermark("other", "10 minutes")
    return {mode: env.error(lambda: env.start(counted(df), mode).processAllAvailable()) for mode in ["append", "complete"]}


@case
def merged_before_the_shuffle(spark, env):
    """The setting changes no result."""
    spark.conf.set("spark.sql.streaming.sessionWindow.merge.sessions.in.local.partition", "true")
    steps = [[at("10:00"), at("10:04"), at("10:30")], [at("10:08"), at("10:01", "b")], [at("11:30")]]
    return env.run_stream(counted(marked(env)), "append", steps)


@case
def over_an_outer_join(spark, env):
    """A filter that the session puts above the join is asked what it makes of NULL."""
    left = spark.createDataFrame([("a", "2024-01-01 10:00:00")], "lk string, text string").selectExpr("lk", "cast(text as timestamp) as lt")
    right = spark.createDataFrame([("a", 1), ("b", 2)], "rk string, v int")
    gap = expr("case when lk = 'a' then '20 minutes' else '3 minutes' end")
    return {
        kind: env.table(left.join(right, expr("lk = rk"), kind).groupBy("rk", session_window("lt", gap)).count())
        for kind in ("left_outer", "right_outer", "full_outer")
    }
