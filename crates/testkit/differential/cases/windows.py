"""Time windows: boundaries, offsets, time zones, and what the function refuses."""

from pyspark.sql.functions import col, session_window, window, window_time

from harness import case

TIMES = [
    "1969-12-31 23:59:59", "1970-01-01 00:00:00", "2024-03-10 06:59:59.999999", "2024-03-10 07:00:00",
    "2024-11-03 05:30:00", "2024-11-03 06:30:00", "2024-02-29 12:07:30", None
]


def times(spark):
    return spark.createDataFrame([(t, ) for t in TIMES],
                                 "text string").selectExpr("text", "cast(text as timestamp) as ts")


def windows_of(env, df, *arguments):
    return env.attempt(
        lambda: env.
        rows(df.groupBy(window("ts", *arguments)).count().select("window.start", "window.end", "count"))
    )


@case
def tumbling(spark, env):
    return {
        length: windows_of(env, times(spark), length)
        for length in
        ["10 minutes", "1 hour", "1 day", "1 week", "7 seconds", "1 hour 30 minutes", "interval 2 days"]
    }


@case
def tumbling_with_offset(spark, env):
    return {
        f"{length} from {start}": windows_of(env, times(spark), length, length, start)
        for length, start in [
            ("1 hour", "15 minutes"), ("1 day", "5 hours"), ("1 hour",
                                                             "-15 minutes"), ("15 minutes", "1 minute")
        ]
    }


@case
def sliding(spark, env):
    return {
        f"{length} by {slide}": windows_of(env, times(spark), length, slide)
        for length, slide in
        [("15 minutes", "5 minutes"), ("10 minutes", "4 minutes"), ("1 day", "12 hours")]
    }


@case
def aligned_to_the_epoch_in_any_zone(spark, env):
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    df = times(spark)
    grouped = df.groupBy(window("ts", "1 day")).count()
    return {
        "day windows": env.rows(
            grouped.selectExpr("cast(window.start as string)", "cast(window.end as string)", "count")
        ),
        "hour windows": env.rows(
            df.groupBy(
                window("ts", "1 hour")
            ).count().selectExpr("cast(window.start as string)", "cast(window.end as string)", "count")
        )
    }


@case
def refused(spark, env):
    df = times(spark)
    attempts = {
        "slide longer than window": ("5 minutes", "10 minutes"),
        "offset as long as slide": ("10 minutes", "10 minutes", "10 minutes"),
        "months": ("1 month", ),
        "zero": ("0 seconds", ),
        "negative": ("-5 minutes", ),
        "not a duration": ("soon", ),
    }
    told = {name: windows_of(env, df, *arguments) for name, arguments in attempts.items()}
    told["two windows"] = env.error(
        lambda: df.groupBy(window("ts", "1 hour"), window("ts", "2 hours")).count().collect()
    )
    told["a number"] = env.error(lambda: spark.range(1).groupBy(window("id", "1 hour")).count().collect())
    return told


@case
def string_column_is_cast(spark, env):
    return env.table(times(spark).groupBy(window("text", "1 hour")).count().select("window.*", "count"))


@case
def in_a_projection(spark, env):
    return env.table(times(spark).select("text", window("ts", "1 hour").alias("w")))


@case
def nullability_of_the_window_column(spark, env):
    grouped = times(spark).groupBy(window("ts", "1 hour")).count()
    return {
        "grouped": env.schema(grouped, nullability=True),
        "projected": env.schema(times(spark).select(window("ts", "1 hour")), nullability=True)
    }


@case
def in_sql(spark, env):
    times(spark).createOrReplaceTempView("t")
    return env.queries(
        [
            "select window.start, count(*) as n from t group by window(ts, '1 hour') order by 1",
            (
                "select window(ts, '1 hour', '30 minutes').end as e, count(*) as n from t group by "
                "window(ts, '1 hour', '30 minutes') order by 1"
            ),
            "select w.start, n from (select window(ts, '1 day') as w, count(*) as n from t group by 1) order by 1",
            "select window_time(window) as wt, count(*) as n from t group by window(ts, '1 hour') order by 1",
        ],
        ordered=True
    )


@case
def window_time_is_the_last_microsecond(spark, env):
    grouped = times(spark).groupBy(window("ts", "1 hour")).count()
    return env.table(grouped.select(window_time("window").alias("t"), "count"))


@case
def sessions_in_batch(spark, env):
    rows = [
        ("a", "10:00"), ("a", "10:04"), ("a", "10:09"), ("a", "10:14:01"), ("b", "10:00"), ("b", "10:05"),
        ("b", "10:05:01")
    ]
    df = spark.createDataFrame(rows, "k string, t string"
                               ).selectExpr("k", "cast('2024-01-01 ' || t as timestamp) as ts")
    grouped = df.groupBy("k", session_window("ts", "5 minutes")).count()
    return env.table(grouped.select("k", "session_window.start", "session_window.end", "count"))


@case
def chained_windows(spark, env):
    """Ten minute counts rolled up into hours; both close in the same batch."""
    events = env.events("ts timestamp, k string").withWatermark("ts", "5 minutes")
    small = events.groupBy(window("ts", "10 minutes")).count()
    large = small.groupBy(window(window_time("window"), "1 hour")).sum("count") \
        .select("window.start", col("sum(count)").alias("n"))
    at = lambda t: {"ts": f"2024-01-01T{t}:00Z", "k": "a"}
    return env.run_stream(
        large, "append", [[at("10:01"), at("10:15")], [at("10:59")], [at("11:06")], [at("12:30")]]
    )


@case
def sessions_in_a_stream(spark, env):
    events = env.events("ts timestamp, k string").withWatermark("ts", "10 minutes")
    counted = events.groupBy("k", session_window("ts", "5 minutes")).count() \
        .select("k", "session_window.start", "session_window.end", "count")
    at = lambda k, t: {"ts": f"2024-01-01T{t}:00Z", "k": k}
    return env.run_stream(
        counted, "append", [
            [at("a", "10:00"), at("a", "10:04"), at("b", "10:00")],
            [at("a", "10:08"), at("b", "10:20")], [at("a", "10:40")], [at("b", "11:00")]
        ]
    )
