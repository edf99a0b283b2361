"""Rows of Spark's tables of modes, watermarks and joins that no other topic asks about; the README says which row is proved where."""

from pyspark.sql.functions import count, explode, array, expr, lit, max as max_, session_window, window

from harness import case, streams
from harness.streams import outcomes

EVENT = "ts timestamp, k string, v int"


def at(minute: str, k: str = "a", v: int = 1):
    return {"ts": f"2024-01-01T{minute}:00Z", "k": k, "v": v}


def marked(env, name="in", delay="10 minutes"):
    return env.events(EVENT, name).withWatermark("ts", delay)


def windowed(df):
    return df.groupBy(window("ts", "10 minutes")).count().select("window.start", "count")


@case(timeout_seconds=60)
def map_like_in_every_mode(spark, env):
    env.write("in/a.json", [at("10:00")])
    df = env.events(EVENT)
    df.createOrReplaceTempView("s")
    plans = {
        "observed": lambda: df.observe("seen", count(lit(1)).alias("n"), max_("v").alias("top")),
        "lateral view": lambda: spark.sql("select k, e from s lateral view explode(array(v, 2)) as e"),
        "lateral function": lambda: spark.sql("select k, e from s, lateral explode(array(v, 2)) as t(e)"),
        "lateral join": lambda: df.lateralJoin(spark.range(1)),
        "explode": lambda: df.select(explode(array("v", lit(2)))),
        "select distinct of a table beside it": lambda: df.where("k in (select distinct 'a')"),
        "observed, then counted": lambda: df.observe("seen", count(lit(1)).alias("n")).groupBy("k").count(),
    }
    return {name: env.attempt(lambda: outcomes(env, plan())) for name, plan in plans.items()}


@case(timeout_seconds=60)
def without_the_check_each_batch_is_sorted_by_itself(spark, env):
    spark.conf.set("spark.sql.streaming.unsupportedOperationCheck", "false")
    query = env.start(env.events(EVENT).select("v").orderBy("v"), "append")
    told = []
    for number, values in enumerate([[3, 1, 2], [2, 1]]):
        env.write(f"in/{number}.json", [at("10:00", v=v) for v in values])
        query.processAllAvailable()
        told.append(env.rows(spark.table(query.name), ordered=True)[3 * number:])
    query.stop()
    return told


@case
def a_watermark_above_an_aggregation_never_moves(spark, env):
    """No row reaches it before the lower window closes, and none closes while it stands at zero."""
    lower = marked(env).groupBy(window("ts", "10 minutes")).agg(count("*").alias("n"))
    upper = lower.selectExpr("window.end as at", "n").withWatermark("at", "5 minutes")
    counted = upper.groupBy(window("at", "1 hour")).agg(expr("sum(n) as n")).select("window.start", "n")
    return env.run_stream(counted, "append", [[at("10:01")], [at("11:30")], [at("13:30")]])


@case(timeout_seconds=60)
def a_restart_forgets_the_watermarks_of_single_inputs(spark, env):
    """The query's own is kept; an input that has shown nothing since holds it where it is."""
    df = lambda: windowed(marked(env, "left").union(marked(env, "right")))

    def run():
        query = df().writeStream.format("noop").option("checkpointLocation", env.path("chk")).trigger(availableNow=True).start()
        query.awaitTermination()
        return streams.batches(query, set())

    told = []
    for number, (left, right) in enumerate([("10:30", "10:40"), ("11:30", None), ("11:40", None), ("11:50", "11:20"), (None, "12:50")]):
        for side, minute in (("left", left), ("right", right)):
            env.directory(side)
            if minute:
                env.write(f"{side}/{number}.json", [at(minute)])
        told.append(run())
    return told


def joined(env, how, policy=None):
    left = marked(env, "l").selectExpr("ts as lt", "k as lk", "v as lv")
    right = marked(env, "r").selectExpr("ts as rt", "k as rk", "v as rv")
    return left.join(right, expr("lk = rk and rt between lt and lt + interval 5 minutes"), how)


@case(timeout_seconds=60)
def outer_rows_wait_for_an_idle_input(spark, env):
    steps = [
        {"l": [at("10:00")], "r": [at("10:00", "z")]}, {"l": [at("11:00", "b")]}, {"l": [at("12:00", "c")]},
        {"r": [at("12:00", "y")]}, {"l": [at("12:30", "d")], "r": [at("12:30", "x")]},
    ]
    return env.run_stream(joined(env, "leftOuter"), "append", steps)


@case(timeout_seconds=60)
def outer_rows_under_the_maximum_policy(spark, env):
    spark.conf.set("spark.sql.streaming.multipleWatermarkPolicy", "max")
    steps = [
        {"l": [at("10:00")], "r": [at("10:00", "z")]}, {"l": [at("11:00", "b")]}, {"r": [at("10:03")]}, {"l": [at("12:00", "c")]},
    ]
    return env.run_stream(joined(env, "leftOuter"), "append", steps)


@case(timeout_seconds=60)
def commands_over_a_stream(spark, env):
    env.write("in/a.json", [at("10:00")])
    env.events(EVENT).createOrReplaceTempView("s")
    spark.sql("create or replace temp view v as select k from s")
    told = {}
    for statement in [
        "create table t_of_stream using parquet as select * from s", 
        "describe s", "select * from v", "explain select * from s",
    ]:
        told[statement] = env.attempt(lambda: bool(spark.sql(statement).collect()) or "ok")
    spark.sql("drop table if exists t_of_stream")
    return told


@case(timeout_seconds=60)
def avro_in_state_is_for_other_operators(spark, env):
    spark.conf.set("spark.sql.streaming.stateStore.encodingFormat", "avro")
    env.write("in/a.json", [at("10:00")])
    for side in "lr":
        env.directory(side)
    plans = {
        "aggregation": windowed(marked(env)), "duplicates": marked(env).dropDuplicates(["k"]), "stateless": marked(env),
        "within watermark": marked(env).dropDuplicatesWithinWatermark(["k"]), "distinct": marked(env).distinct(),
        "limit": marked(env).limit(1), "join": joined(env, "inner"),
        "session": marked(env).groupBy("k", session_window("ts", "5 minutes")).count(),
        "two": windowed(marked(env).dropDuplicates(["k", "ts"])), "join with a table": marked(env).join(spark.range(1), expr("v = id")),
    }
    return {name: outcomes(env, df, ["append"]) for name, df in plans.items()}
