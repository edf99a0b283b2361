"""Streams in SQL: `STREAM` relations and the `WATERMARK` clause."""

from harness import case
from harness.streams import outcomes

EVENT = "ts timestamp, k string, v int, text string, n timestamp_ntz"
DELAY = "delay of interval 10 minutes"


def at(minute: str, k: str = "a", v: int = 1):
    return {"ts": f"2024-01-01T{minute}:00Z", "k": k, "v": v, "text": f"2024-01-01 {minute}:00"}


JOURNEY = [[at("10:01"), at("10:04", "b")], [at("10:25")], [at("10:05")], [at("10:50")]]


def views(spark, env):
    """The views `events` and `others`, which are streams, and `static`, which is not."""
    env.events(EVENT).createOrReplaceTempView("events")
    env.events(EVENT, "other").createOrReplaceTempView("others")
    spark.sql("select timestamp'2024-01-01 10:00:00' as ts, 'a' as k, 1 as v").createOrReplaceTempView("static")


def counted(relation: str, time: str = "ts") -> str:
    return f"select window.start, count(*) as n from {relation} group by window({time}, '10 minutes')"


def run(spark, env, statement: str, mode: str = "append", steps=JOURNEY):
    return env.attempt(lambda: env.run_stream(spark.sql(statement), mode, steps))


@case(timeout_seconds=60)
def watermark_of_a_view(spark, env):
    views(spark, env)
    relations = ["events", "stream events", "stream(events)"]
    told = {}
    for number, relation in enumerate(relations):
        env.events(EVENT, f"in{number}").createOrReplaceTempView("events")
        steps = [{f"in{number}": step} for step in JOURNEY]
        told[relation] = run(spark, env, counted(f"{relation} watermark ts {DELAY}"), steps=steps)
    return told


@case
def watermark_of_an_expression(spark, env):
    views(spark, env)
    return run(spark, env, counted(f"stream events watermark to_timestamp(text) as at {DELAY}", "at"))


@case
def watermark_of_a_subquery(spark, env):
    views(spark, env)
    inner = "(select ts as at, k from stream events where v > 0)"
    return run(spark, env, counted(f"{inner} watermark at {DELAY} as e", "e.at"))


@case
def watermark_in_update_mode(spark, env):
    views(spark, env)
    return run(spark, env, counted(f"events watermark ts {DELAY}"), "update")


@case
def watermark_of_a_common_table(spark, env):
    views(spark, env)
    return run(spark, env, f"with c as (select * from stream events) {counted(f'c watermark ts {DELAY}')}")


@case(timeout_seconds=40)
def watermarks_of_both_sides_of_a_join(spark, env):
    views(spark, env)
    statement = f"""select a.k, a.ts, b.ts as later from stream events watermark ts {DELAY} as a
        left join stream others watermark ts delay of interval 5 minutes as b
        on a.k = b.k and b.ts between a.ts and a.ts + interval 5 minutes"""
    steps = [
        {"in": [at("10:00"), at("10:02", "b")], "other": [at("10:03")]},
        {"in": [at("10:40", "c")], "other": [at("10:40", "c")]},
        {"in": [at("10:41", "c")], "other": [at("10:41", "d")]},
    ]
    return run(spark, env, statement, steps=steps)


@case
def watermark_and_duplicates(spark, env):
    views(spark, env)
    return run(spark, env, f"select distinct k, ts from stream events watermark ts {DELAY}")


SHAPES = [
    "select * from {} watermark ts delay of interval 10 minutes",
    "select * from {} watermark ts delay of interval 10 minutes e",
    "select e.k from {} watermark ts delay of interval 10 minutes as e",
    "select events.k from {} watermark ts delay of interval 10 minutes",
    "select events.at, k from {} watermark ts + interval 1 hour as at delay of interval 10 minutes",
    "select at, k from {} watermark ts + interval 1 hour as at delay of interval 10 minutes",
    "select at, k from {} watermark ts + interval 1 hour at delay of interval 10 minutes",
    "select e.at, e.k from {} watermark ts + interval 1 hour as at delay of interval 10 minutes as e",
    "select a, b from {} watermark ts delay of interval 10 minutes as e(a, b, c, d, f)",
    "select a, b from {} watermark a delay of interval 10 minutes as e(a, b, c, d, f)",
    "select * from {} watermark events.ts delay of interval 10 minutes",
    "select * from {} watermark `ts` delay of interval 10 minutes",
    "select * from {} watermark TS delay of interval 10 minutes",
    "select * from {} watermark ts as later delay of interval 10 minutes",
    "select * from {} watermark current_timestamp() delay of interval 10 minutes",
    "select * from {} watermark 1 + 1 as one delay of interval 10 minutes",
    "select * from {} watermark text delay of interval 10 minutes",
    "select * from {} watermark n delay of interval 10 minutes",
    "select * from {} watermark v delay of interval 10 minutes",
    "select * from {} watermark nope delay of interval 10 minutes",
    "select * from {} watermark ts delay of interval 1 month",
    "select * from {} watermark ts delay of interval 1 year 2 months",
    "select * from {} watermark ts delay of interval '1' hour",
    "select * from {} watermark ts delay of interval '1:30' hour to minute",
    "select * from {} watermark ts delay of interval 1 hour 30 minutes 5 seconds",
    "select * from {} watermark ts delay of interval 0 seconds",
    "select * from {} watermark ts delay of interval -1 minutes",
    "select * from {} watermark ts delay of interval '10 minutes'",
    "select * from {} watermark ts delay of 10 minutes",
    "select * from {} watermark ts delay interval 10 minutes",
    "select * from {} watermark ts",
    "select * from {} e watermark ts delay of interval 10 minutes",
    "select * from ({} watermark ts delay of interval 10 minutes)",
    "select * from (select * from {}) watermark ts delay of interval 10 minutes",
    "select * from {} tablesample (50 percent) watermark ts delay of interval 10 minutes",
    "select * from {} watermark ts delay of interval 10 minutes, lateral explode(array(1, 2)) as x(y)",
    "select * from {} watermark ts delay of interval 10 minutes lateral view explode(array(1, 2)) x as y",
    "select watermark from {} as watermark",
    "select k from {} where exists (select 1 from static watermark ts delay of interval 1 minute)",
]


@case(timeout_seconds=60)
def shapes_of_the_clause(spark, env):
    """What parses, and the columns that come of it."""
    views(spark, env)
    return {
        shape: env.attempt(lambda: env.schema(spark.sql(shape.format("events"))))
        for shape in SHAPES
    }


@case(timeout_seconds=60)
def shapes_of_a_stream(spark, env):
    views(spark, env)
    spark.range(3).write.saveAsTable("streamed_table", format="parquet", path=env.path("table"))
    spark.sql("create or replace temp view narrowed as select k from static")
    statements = [
        "select k from stream events", "select k from stream(events)", "select k from STREAM (events) as e",
        "select e.k from stream events e", "select e.k from stream(events) e", "select events.k from stream(events)",
        "select stream.k from events stream", "select k from stream static", "select k from stream narrowed",
        "select k from stream nothing", "select id from stream streamed_table", "select id from stream(streamed_table)",
        "select id from stream range(3)", "select id from stream(range(3))", "select * from stream",
        "select id from stream streamed_table with ('maxFilesPerTrigger' = '1')",
        "select id from stream streamed_table with (maxFilesPerTrigger = 1)",
        "select k from stream events with (a = 'b')",
        "select k from stream default.events", "table stream events", "from stream events select k",
        "with stream as (select 1 as k) select k from stream",
        "with c as (select k from events) select k from stream c",
        "select a.k from stream events a join stream others b on a.k = b.k",
    ]
    try:
        return {s: env.attempt(lambda: told(env, spark.sql(s))) for s in statements}
    finally:
        spark.sql("drop table streamed_table")


def told(env, df):
    return {"streaming": df.isStreaming, "schema": env.schema(df)}


@case
def watermark_on_batch_data(spark, env):
    views(spark, env)
    return env.queries([
        counted(f"static watermark ts {DELAY}"),
        f"select * from static watermark ts {DELAY}",
        f"select * from static watermark k {DELAY}",
        f"select * from static watermark nope {DELAY}",
        f"select * from nothing watermark ts {DELAY}",
        "select * from nothing watermark ts delay of interval -90 seconds",
        "select * from static watermark ts delay of interval '-1:30' hour to minute",
        "select * from static watermark ts delay of interval -1 year",
        f"select at, k from static watermark ts + interval 1 hour as at {DELAY}",
        f"select at + 1 from static watermark v as at {DELAY}",
        f"select * from (select timestamp'2024-01-01 00:00:00' as a) watermark a {DELAY}",
        f"select * from range(2) watermark timestamp_seconds(id) as t {DELAY}",
    ])


@case(timeout_seconds=60)
def modes(spark, env):
    """What starts, per output mode."""
    views(spark, env)
    env.write("in/a.json", [at("10:00")])
    env.directory("other")
    statements = [
        counted(f"events watermark ts {DELAY}"),
        f"select k, count(*) from events watermark ts {DELAY} group by k",
        f"select distinct k, ts from events watermark ts {DELAY}",
        f"select distinct k from events watermark ts {DELAY}",
        f"select * from events watermark ts {DELAY} where k in (select k from static)",
        f"select * from static where k in (select k from events watermark ts {DELAY})",
        f"select * from events watermark ts {DELAY} where v > (select max(v) from others watermark ts {DELAY})",
        f"select ts, k from events watermark ts {DELAY} union all select ts, k from others watermark ts {DELAY}",
        f"select k, session_window.start, count(*) from events watermark ts {DELAY} "
        "group by k, session_window(ts, '5 minutes')",
        f"select * from events watermark ts {DELAY} as a join others as b on a.ts = b.ts",
        f"select * from events watermark ts {DELAY} as a full join others as b on a.ts = b.ts",
        f"select * from events watermark ts {DELAY} order by ts",
        f"select n, count(*) from (select count(*) as n from events watermark ts {DELAY} "
        "group by window(ts, '1 hour')) group by n",
    ]
    return {s: env.attempt(lambda: outcomes(env, spark.sql(s))) for s in statements}


@case
def table_of_what_a_stream_selects(spark, env):
    """A batch statement over a stream is refused, and leaves no table."""
    views(spark, env)
    statement = "create table of_a_stream using parquet as select k, v from events"
    refused = env.attempt(lambda: str(spark.sql(statement).collect()))
    return {"refused": refused, "there": spark.catalog.tableExists("of_a_stream")}
