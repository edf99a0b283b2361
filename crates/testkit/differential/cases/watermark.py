"""Event time: when rows are late, when state is evicted, and which batches run for it."""

from pyspark.sql.functions import col, count, expr, session_window, window

from harness import case

EVENT = "ts timestamp, k string, v int"


def at(minute: str, k: str = "a", v: int = 1):
    """An event on 2024-01-01 at `HH:MM` or `HH:MM:SS[.fff]` (the JSON reader wants seconds)."""
    time = minute if minute.count(":") == 2 else f"{minute}:00"
    return {"ts": f"2024-01-01T{time}Z", "k": k, "v": v}


def windowed(env, delay: str | None, length: str = "10 minutes", *, extra=()):
    events = env.events(EVENT)
    if delay is not None:
        events = events.withWatermark("ts", delay)
    return events.groupBy(window("ts", length),
                          *extra).count().select("window.start", "window.end", *extra, "count")


JOURNEY = [
    [at("10:01"), at("10:04")],
    [at("10:12")],
    [at("10:25")],
    [at("10:05")],
    [at("10:14"), at("10:25")],
    [at("10:50")],
    [at("10:49:59.999")],
]


@case
def append(spark, env):
    return env.run_stream(windowed(env, "10 minutes"), "append", JOURNEY)


@case
def update(spark, env):
    return env.run_stream(windowed(env, "10 minutes"), "update", JOURNEY)


@case
def complete_never_evicts(spark, env):
    return env.run_stream(windowed(env, "10 minutes"), "complete", JOURNEY)


@case
def append_without_no_data_batches(spark, env):
    """Late rows are held against the previous batch's watermark, eviction against the current."""
    spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    return env.run_stream(windowed(env, "10 minutes"), "append", JOURNEY)


@case
def update_without_no_data_batches(spark, env):
    spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    return env.run_stream(windowed(env, "10 minutes"), "update", JOURNEY)


@case
def window_ending_at_the_watermark_is_closed(spark, env):
    steps = [[at("10:05")], [at("10:20")], [at("10:09")], [at("10:10")]]
    return env.run_stream(windowed(env, "10 minutes"), "append", steps)


@case
def window_ending_just_after_the_watermark_stays(spark, env):
    steps = [[at("10:05")], [at("10:19:59.999")], [at("10:09")], [at("10:30")]]
    return env.run_stream(windowed(env, "10 minutes"), "append", steps)


@case
def zero_delay(spark, env):
    return env.run_stream(
        windowed(env, "0 seconds"), "append", [[at("10:00")], [at("10:10")], [at("10:09")], [at("10:21")]]
    )


@case
def key_beside_the_window(spark, env):
    steps = [
        [at("10:01", "a"), at("10:01", "b"), at("10:02", None)],
        [at("10:30", "b")],
        [at("10:02", "a"), at("10:22", "a")],
        [at("10:59", None)],
    ]
    return env.run_stream(windowed(env, "10 minutes", extra=("k", )), "append", steps)


@case
def null_event_time(spark, env):
    steps = [[{"k": "a", "v": 1}, at("10:01")], [{"ts": None, "k": "a"}], [at("10:30")]]
    return env.run_stream(windowed(env, "10 minutes"), "append", steps)


@case
def null_event_time_grouped_by_itself(spark, env):
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy("ts").count()
    steps = [[{"k": "a", "v": 1}, at("10:01")], [{"ts": None, "k": "a"}], [at("10:30")], [at("10:40:00.001")]]
    return env.run_stream(counted, "append", steps)


@case
def a_batch_of_only_null_event_times(spark, env):
    """A time without seconds does not parse and reads as NULL; progress then reports 1970."""
    step = [{"ts": "2024-01-01T10:01Z", "k": "a"}]
    return env.run_stream(windowed(env, "10 minutes"), "append", [step, [at("10:30")], step])


@case
def grouped_by_event_time_update(spark, env):
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy("ts").count()
    return env.run_stream(counted, "update", JOURNEY)


@case
def watermark_not_in_the_keys(spark, env):
    """State is kept for ever and nothing is late."""
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy("k").agg(count("*").alias("n"))
    steps = [[at("10:01")], [at("10:59", "b")], [at("10:01"), at("09:01", "b")]]
    return {
        "append": env.error(lambda: env.start(counted, "append")),
        "update": env.run_stream(counted, "update", steps),
    }


@case
def stateless_query_filters_nothing(spark, env):
    mapped = env.events(EVENT).withWatermark("ts", "10 minutes").where("v > 0").select("ts", "k")
    return env.run_stream(mapped, "append", [[at("10:01")], [at("10:59")], [at("09:00")]])


@case
def filter_below_the_watermark_hides_rows_from_it(spark, env):
    """A filter on another column is pushed below the watermark: its rows do not move event time."""
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").where("k = 'a'") \
        .groupBy(window("ts", "10 minutes")).count().select("window.start", "count")
    return env.run_stream(
        counted, "append", [[at("10:01")], [at("11:00", "b")], [at("10:02")], [at("10:40")]]
    )


@case
def filter_on_event_time_stays_above_the_watermark(spark, env):
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").where("ts < '2024-01-01 10:30:00'") \
        .groupBy(window("ts", "10 minutes")).count().select("window.start", "count")
    return env.run_stream(counted, "append", [[at("10:01")], [at("11:00")], [at("10:02")], [at("10:25")]])


KEYED = [[at("10:01"), at("10:03", "b")], [at("11:00", "b")], [at("10:02"), at("10:05", "b")], [at("10:40")], [at("12:00")]]


@case
def filter_of_a_key_goes_below_its_aggregation(spark, env):
    """And then below the watermark, where it is not of event time."""
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy(window("ts", "10 minutes"), expr("upper(k) as K")) \
        .count().where("K = 'A' and count > 0").select("window.start", "K", "count")
    return env.run_stream(counted, "append", KEYED)


@case
def filter_of_a_window_goes_below_its_aggregation(spark, env):
    """Rows that it drops are not late."""
    counted = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy(window("ts", "10 minutes"), "k").count() \
        .where("window.start > '2024-01-01 10:10:00'").select("window.start", "k", "count")
    return env.run_stream(counted, "append", KEYED)


@case
def filter_of_a_session_key_goes_below_its_sessions(spark, env):
    sessions = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy(session_window("ts", "10 minutes"), "k").count() \
        .where("k = 'a'").select("session_window.start", "k", "count")
    return env.run_stream(sessions, "append", KEYED)


@case(timeout_seconds=40, counts=False)
def rows_without_a_key_to_a_table_are_hidden_from_it(spark, env):
    """What a join with a table asks of a row is asked below the watermark, if the join does not keep rows without a match."""
    table = spark.createDataFrame([("a", 1), ("b", 5)], "tk string, tv int")
    steps = [[at("10:01"), at("11:00", None), at("11:10", "a", None)], [at("10:02"), at("10:30", "z")]]

    def joined(kind):
        events = env.events(EVENT, kind).withWatermark("ts", "10 minutes")
        df = events.join(table, expr("k = tk and v >= tv"), kind.split(" ")[0])
        df = df.where("tv is not null") if kind.endswith("matched") else df
        return env.run_stream(df.select("ts", "k"), "append", [{kind: rows} for rows in steps])

    return {kind: joined(kind) for kind in ["inner", "left_semi", "left_anti", "left_outer", "left_outer matched"]}


@case
def months_count_31_days(spark, env):
    return env.run_stream(windowed(env, "1 month"), "update", [[at("10:01")], [at("10:02")]])


@case
def delay_texts(spark, env):
    events = env.events(EVENT)

    def watermark_after(delay):
        query = env.start(events.withWatermark("ts", delay).groupBy("ts").count(), "update")
        query.processAllAvailable()
        progress = [p for p in query.recentProgress if p["eventTime"]][-1]
        query.stop()
        return progress["eventTime"]["watermark"]

    env.write("in/a.json", [at("10:00")])
    texts = [
        "10 minutes", "1 hour 30 minutes", "interval 5 seconds", "1 day", "2 weeks", "1 month 1 day",
        "500 milliseconds", "-10 minutes", "ten minutes", "", "10", "10 parsecs"
    ]
    return {text: env.attempt(lambda: watermark_after(text)) for text in texts}


@case
def column_errors(spark, env):
    events = env.events("ts timestamp, s struct<t: timestamp>, text string, n timestamp_ntz, v long")
    columns = ["s.t", "text", "n", "v", "nope"]
    return {c: env.error(lambda: env.start(events.withWatermark(c, "10 minutes"))) for c in columns}


@case
def ignored_on_batch_data(spark, env):
    env.write("static/a.json", [at("10:01"), at("11:01"), at("09:00")])
    df = spark.read.schema(EVENT).json(env.path("static")).withWatermark("ts", "10 minutes")
    return env.table(df.groupBy(window("ts", "10 minutes")).count().select("window.start", "count"))


@case
def columns_of_batch_data_are_not_looked_at(spark, env):
    df = spark.sql("select timestamp'2024-01-01 10:00:00' as ts, named_struct('t', current_timestamp()) as s, 'x' as text")
    columns = ["ts", "s", "s.t", "text"]
    told = {c: env.attempt(lambda: env.schema(df.withWatermark(c, "10 minutes"))) for c in columns}
    told["negative delay"] = env.attempt(lambda: env.schema(df.withWatermark("ts", "-1 minutes")))
    told["bad delay"] = env.attempt(lambda: env.schema(df.withWatermark("ts", "soon")))
    return told


@case
def two_inputs_take_the_minimum(spark, env):
    left = env.events(EVENT, "left").withWatermark("ts", "10 minutes")
    right = env.events(EVENT, "right").withWatermark("ts", "20 minutes")
    counted = left.union(right).groupBy(window("ts", "10 minutes")).count().select("window.start", "count")
    steps = [
        {"left": [at("10:01")]},
        {"left": [at("11:30")]},
        {"right": [at("10:50")]},
        {"left": [at("10:05")], "right": [at("11:45")]},
        {"right": [at("12:30")]},
    ]
    return env.run_stream(counted, "append", steps)


@case
def two_inputs_take_the_maximum(spark, env):
    spark.conf.set("spark.sql.streaming.multipleWatermarkPolicy", "max")
    left = env.events(EVENT, "left").withWatermark("ts", "10 minutes")
    right = env.events(EVENT, "right").withWatermark("ts", "20 minutes")
    counted = left.union(right).groupBy(window("ts", "10 minutes")).count().select("window.start", "count")
    return env.run_stream(
        counted, "append", [{"left": [at("10:01")]}, {"left": [at("11:30")]}, {"right": [at("10:50")]}]
    )


@case
def late_by_its_own_batch_is_still_counted(spark, env):
    """The watermark of a batch comes from the batches before it, never from its own rows."""
    steps = [[at("10:01"), at("12:00"), at("10:02")], [at("10:03")], [at("12:30")]]
    return env.run_stream(windowed(env, "10 minutes"), "append", steps)


@case
def a_view_used_twice(spark, env):
    """Both uses have one watermark; that of the rows that a filter leaves over is not waited for."""
    env.events(EVENT).withWatermark("ts", "10 minutes").createOrReplaceTempView("marked")
    both = spark.sql("SELECT * FROM marked UNION ALL SELECT * FROM marked WHERE v > 1")
    counted = both.groupBy(window("ts", "10 minutes")).count().select("window.start", "count")
    steps = [[at("10:01"), at("10:04", v=2)], [at("10:30")], [at("10:50")]]
    return env.run_stream(counted, "append", steps, sources=2)
