"""What runs as a stream: every operation in every output mode, and which of several reasons is named.

Each table below is a name and a plan over `s` (a stream), `w` (the same with a watermark on `ts`) and `t` (a table).
"""

from types import SimpleNamespace

from pyspark.sql import Window
from pyspark.sql.functions import (
    array, col, collect_list, count, countDistinct, current_timestamp, explode, expr, lag, lit, max_by,
    monotonically_increasing_id, percentile_approx, rand, rank, row_number, session_window, sum_distinct, window
)

from harness import case
from harness.streams import MODES, outcomes

EVENT = "ts timestamp, k string, v int"


def plans(spark, env):
    if not env.tree("in"):
        env.write("in/a.json", [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}])
    s = env.events(EVENT)
    static = spark.createDataFrame([("a", 1)], "k string, x int")
    return SimpleNamespace(
        s=s, w=s.withWatermark("ts", "10 minutes"), t=static, k=static.select("k"), sk=s.select("k")
    )


def table(spark, env, rows, modes=MODES):
    """Every row in every mode."""
    given = plans(spark, env)
    return {name: env.attempt(lambda: outcomes(env, plan(given), modes)) for name, plan in rows.items()}


def windowed(df):
    return df.groupBy(window("ts", "10 minutes")).count()


@case(timeout_seconds=60)
def map_like(spark, env):
    return table(
        spark, env, {
            "projection": lambda p: p.s.select("k", (col("v") + 1).alias("x")),
            "generator": lambda p: p.s.select(explode(array("v", lit(2))).alias("x")),
            "union of streams": lambda p: p.s.union(p.w),
            "union by name": lambda p: p.s.unionByName(p.s.select("v", "k", "ts")),
            "stream with table": lambda p: p.s.join(p.t, "k"),
            "rand": lambda p: p.s.select(rand(1)),
            "current_timestamp": lambda p: p.s.select(current_timestamp()),
            "repartition": lambda p: p.s.repartition(3),
            "repartition by key": lambda p: p.s.repartition(3, "k"),
            "coalesce": lambda p: p.s.coalesce(1),
            "with watermark": lambda p: p.w,
        }
    )


@case(timeout_seconds=60)
def aggregations(spark, env):
    return table(
        spark, env, {
            "by a key": lambda p: p.s.groupBy("k").count(),
            "of everything": lambda p: p.s.agg(count("*")),
            "by a window": lambda p: windowed(p.s),
            "by a window under a watermark": lambda p: windowed(p.w),
            "by event time": lambda p: p.w.groupBy("ts").count(),
            "by an expression of event time": lambda p: p.w.groupBy(expr("date_trunc('hour', ts)")).count(),
            "watermark off the keys": lambda p: p.w.groupBy("k").count(),
            "watermark above": lambda p: windowed(p.s).withWatermark("window", "1 minute"),
            "approximate ones": lambda p: windowed(p.w).groupBy("window").agg(max_by("window", "count")),
            "lists": lambda p: p.w.groupBy("ts").agg(collect_list("v"), percentile_approx("v", 0.5)),
            "having": lambda p: p.s.groupBy("k").count().where("count > 1"),
        }
    )


@case(timeout_seconds=60)
def sessions(spark, env):
    session = lambda df, *keys: df.groupBy(session_window("ts", "5 minutes"), *keys).count()
    return table(
        spark, env, {
            "with a key": lambda p: session(p.w, "k"),
            "with a key, no watermark": lambda p: session(p.s, "k"),
            "alone": lambda p: session(p.w),
            "alone, no watermark": lambda p: session(p.s),
        }
    )


@case(timeout_seconds=90)
def chains(spark, env):
    hourly = lambda df: df.groupBy(window("window", "1 hour")).count()
    return table(
        spark, env, {
            "window over window": lambda p: hourly(windowed(p.w)),
            "window over window, no watermark": lambda p: hourly(windowed(p.s)),
            "key over window": lambda p: windowed(p.w).groupBy("count").count(),
            "everything over window": lambda p: windowed(p.w).agg(count("*")),
            "event-time duplicates of windows": lambda p: windowed(p.w).dropDuplicates(["window"]),
            "other duplicates of windows": lambda p: windowed(p.w).dropDuplicates(["count"]),
            "distinct windows": lambda p: windowed(p.w).distinct(),
            "window over duplicates": lambda p: windowed(p.w.dropDuplicates(["k"])),
            "key over event-time duplicates": lambda p: p.w.dropDuplicates(["k", "ts"]).groupBy("k").count(),
            "duplicates over duplicates": lambda p: p.w.dropDuplicates(["k", "ts"]).dropDuplicates(["v", "ts"]),
            "union of windows": lambda p: windowed(p.w).union(windowed(p.w)),
            "union of windows, aggregated": lambda p: hourly(windowed(p.w).union(windowed(p.w))),
            "union of windows and rows": lambda p: windowed(p.w).select("count").union(p.s.select("v")),
            "windows with a table": lambda p: windowed(p.w).join(p.t, expr("count = x")),
        }
    )


@case(timeout_seconds=90)
def grouping_sets(spark, env):
    return table(
        spark, env, {
            "rollup": lambda p: p.s.rollup("k").count(),
            "cube": lambda p: p.s.cube("k", "v").count(),
            "rollup of windows": lambda p: p.w.rollup(window("ts", "10 minutes"), "k").count(),
            "cube of windows": lambda p: p.w.cube(window("ts", "10 minutes"), "k").count(),
            "pivot": lambda p: p.s.groupBy("k").pivot("v", [1, 2]).count(),
            "pivot of windows": lambda p: p.w.groupBy(window("ts", "10 minutes")).pivot("v", [1]).count(),
            "pivot without values": lambda p: p.s.groupBy("k").pivot("v").count(),
        }
    )


@case(timeout_seconds=60)
def distinct_aggregates(spark, env):
    return table(
        spark, env, {
            "count": lambda p: p.s.groupBy("k").agg(countDistinct("v")),
            "sum": lambda p: p.s.groupBy("k").agg(sum_distinct(col("v"))),
            "count by window": lambda p: p.w.groupBy(window("ts", "10 minutes")).agg(countDistinct("v")),
            "beside others": lambda p: p.w.groupBy("ts").agg(count("*"), countDistinct("k", "v")),
        }
    )


@case(timeout_seconds=60)
def duplicates(spark, env):
    return table(
        spark, env, {
            "by key": lambda p: p.s.dropDuplicates(["k"]),
            "by event time": lambda p: p.w.dropDuplicates(["k", "ts"]),
            "of all columns": lambda p: p.s.dropDuplicates(),
            "distinct": lambda p: p.sk.distinct(),
            "distinct event times": lambda p: p.w.select("ts").distinct(),
            "within watermark": lambda p: p.w.dropDuplicatesWithinWatermark(["k"]),
            "within watermark, none set": lambda p: p.s.dropDuplicatesWithinWatermark(["k"]),
            "within watermark, of everything": lambda p: p.w.dropDuplicatesWithinWatermark(),
            "union distinct": lambda p: p.sk.union(p.sk).distinct(),
        }
    )


@case(timeout_seconds=60)
def orders_and_limits(spark, env):
    return table(
        spark, env, {
            "sort": lambda p: p.s.orderBy("v"),
            "sort within partitions": lambda p: p.s.sortWithinPartitions("v"),
            "sort of aggregates": lambda p: p.s.groupBy("k").count().orderBy("count"),
            "sort of windows": lambda p: windowed(p.w).orderBy("window"),
            "sort below an aggregate": lambda p: p.s.orderBy("v").groupBy("k").count(),
            "limit": lambda p: p.s.limit(1),
            "limit of aggregates": lambda p: p.s.groupBy("k").count().limit(1),
            "limit of windows": lambda p: windowed(p.w).limit(1),
            "limit below an aggregate": lambda p: p.s.limit(1).groupBy("k").count(),
            "top aggregates": lambda p: p.s.groupBy("k").count().orderBy("count").limit(1),
            "offset": lambda p: p.s.offset(1),
            "offset of aggregates": lambda p: p.s.groupBy("k").count().offset(1),
            "offset and limit": lambda p: p.s.offset(1).limit(1),
            "sample": lambda p: p.s.sample(0.5),
            "sample of aggregates": lambda p: p.s.groupBy("k").count().sample(0.5),
            "sample below an aggregate": lambda p: p.s.sample(0.5).groupBy("k").count(),
        }
    )


@case(timeout_seconds=60)
def analytic_functions(spark, env):
    over = Window.partitionBy("k").orderBy("ts")
    return table(
        spark, env, {
            "row_number": lambda p: p.s.withColumn("n", row_number().over(over)),
            "lag": lambda p: p.s.select(lag("v", 2).over(over).alias("before")),
            "running sum": lambda p: p.s.selectExpr("sum(v) over (partition by k order by ts) as total"),
            "frame": lambda p: p.s.selectExpr(
                "avg(v) over (partition by k order by ts rows between 2 preceding and current row) as mean"
            ),
            "two of one window": lambda p: p.s.select(
                rank().over(over).alias("r"),
                row_number().over(over).alias("n")
            ),
            "two windows": lambda p: p.s.select(
                rank().over(over).alias("r"),
                count("*").over(Window.partitionBy("v")).alias("n")
            ),
            "descending": lambda p: p.s.selectExpr("rank() over (order by v desc nulls last, k) as r"),
            "over aggregates": lambda p: p.s.groupBy("k").count().selectExpr(
                "rank() over (order by count) as r"
            ),
            "unnamed": lambda p: p.s.selectExpr("max(v) over (partition by k)"),
        }
    )


def analyzed(df):
    """Refused here, when it is refused at all: Connect would wait until the query starts."""
    return df if df.schema else None


@case(timeout_seconds=60)
def expressions(spark, env):
    increasing = monotonically_increasing_id
    return table(
        spark, env, {
            "increasing id": lambda p: p.s.select(increasing()),
            "increasing id in a filter": lambda p: p.s.where(increasing() > 1),
            "increasing id in an argument": lambda p: p.s.select((increasing() + lit(1)).alias("x")),
            "increasing id of aggregates": lambda p: p.s.groupBy("k").count().select(increasing()),
            "increasing id in an aggregate": lambda p: analyzed(p.s.groupBy("k").agg(max_by("v", increasing()))),
        }
    )


@case(timeout_seconds=60)
def set_operations(spark, env):
    return table(
        spark, env, {
            "union with table": lambda p: p.sk.union(p.k),
            "table union stream": lambda p: p.k.union(p.sk),
            "union of aggregates with table": lambda p: p.s.groupBy("k").count().select("k").union(p.k),
            "intersect table": lambda p: p.sk.intersect(p.k),
            "table intersect stream": lambda p: p.k.intersect(p.sk),
            "intersect of streams": lambda p: p.sk.intersect(p.sk),
            "intersect all": lambda p: p.sk.intersectAll(p.k),
            "subtract table": lambda p: p.sk.subtract(p.k),
            "except all table": lambda p: p.sk.exceptAll(p.k),
            "table subtract stream": lambda p: p.k.subtract(p.sk),
            "table except all stream": lambda p: p.k.exceptAll(p.sk),
            "subtract stream": lambda p: p.sk.subtract(p.sk),
            "subtract of aggregates": lambda p: p.s.groupBy("k").count().select("k").subtract(p.k),
        }
    )


@case(timeout_seconds=60)
def subqueries(spark, env):
    given = plans(spark, env)
    given.s.createOrReplaceTempView("s")
    given.t.createOrReplaceTempView("t")
    statements = [
        "select * from s where k in (select k from t)",
        "select * from s where k not in (select k from t)",
        "select * from s where exists (select 1 from t where t.k = s.k)",
        "select * from s where not exists (select 1 from t where t.k = s.k)",
        "select *, (select max(x) from t) as m from s",
        "select *, (select max(x) from t where t.k = s.k) as m from s",
        "select * from t where k in (select k from s)",
        "select * from t where exists (select 1 from s where t.k = s.k)",
        "select * from t where x > (select max(v) from s)",
        "select * from s where v > (select max(v) from s)",
        "select * from (select k from s) where k > 'a'",
        "with c as (select k from s) select * from c",
        "select * from s, lateral (select s.v + 1 as w)",
        "select s.k, e from s lateral view explode(array(v, 2)) as e",
    ]
    return {
        statement: env.attempt(lambda: outcomes(env, spark.sql(statement)))
        for statement in statements
    }


@case(timeout_seconds=60)
def which_error_is_named(spark, env):
    """Plans with two things wrong."""
    over = "rank() over (order by v) as r"
    return table(
        spark, env, {
            "sort, then offset": lambda p: p.s.orderBy("v").offset(1),
            "offset, then sort": lambda p: p.s.offset(1).orderBy("v"),
            "sample, then sort": lambda p: p.s.sample(0.5).orderBy("v"),
            "sort, then sample": lambda p: p.s.orderBy("v").sample(0.5),
            "sort, then distinct count": lambda p: p.s.orderBy("v").agg(countDistinct("v")),
            "increasing id, then sort": lambda p: p.s.select(monotonically_increasing_id().alias("i")).orderBy("i"),
            "rank, then sort": lambda p: p.s.selectExpr(over).orderBy("r"),
            "sort, then rank": lambda p: p.s.orderBy("v").selectExpr(over),
            "two chains": lambda p: windowed(p.w).orderBy("count").groupBy("count").count(),
            "union with table of sorted": lambda p: p.sk.orderBy("k").union(p.k),
            "sides of a join": lambda p: p.s.orderBy("v").join(p.s.sample(0.5), "k"),
            "sides of a join, the other way": lambda p: p.s.sample(0.5).join(p.s.orderBy("v"), "k"),
            "session and sort": lambda p: p.w.groupBy(session_window("ts", "5 minutes"), "k").count().orderBy(
                "count"
            ),
            "two aggregates, the upper without watermark": lambda p: windowed(p.w).groupBy("count").count(
            ).orderBy("count"),
            "limit in update and no aggregate": lambda p: p.s.limit(1).orderBy("v"),
        }
    )


@case(timeout_seconds=90)
def with_the_check_off(spark, env):
    """What runs, and how it fails when it does not."""
    spark.conf.set("spark.sql.streaming.unsupportedOperationCheck", "false")
    return table(
        spark, env, {
            "sort": lambda p: p.s.orderBy("v"),
            "limit": lambda p: p.s.limit(1),
            "offset": lambda p: p.s.offset(1),
            "sample": lambda p: p.s.sample(0.5),
            "row_number": lambda p: p.s.selectExpr("row_number() over (partition by k order by ts) as n"),
            "distinct count": lambda p: p.s.groupBy("k").agg(countDistinct("v")),
            "aggregate without watermark": lambda p: p.s.groupBy("k").count(),
            "no aggregate": lambda p: p.sk,
            "increasing id": lambda p: p.s.select(monotonically_increasing_id()),
            "chained windows": lambda p: windowed(p.w).groupBy(window("window", "1 hour")).count(),
            "union with table": lambda p: p.sk.union(p.k),
            "intersect": lambda p: p.sk.intersect(p.k),
            "table except": lambda p: p.k.subtract(p.sk),
            "right outer join": lambda p: p.s.join(p.t, "k", "right"),
            "duplicates within no watermark": lambda p: p.s.dropDuplicatesWithinWatermark(["k"]),
            "session with a key": lambda p: p.w.groupBy(session_window("ts", "5 minutes"), "k").count(),
        }
    )


@case(timeout_seconds=60)
def with_the_correctness_check_off(spark, env):
    spark.conf.set("spark.sql.streaming.statefulOperator.checkCorrectness.enabled", "false")
    return table(
        spark, env, {
            "window over window": lambda p: windowed(p.w).groupBy(window("window", "1 hour")).count(),
            "key over window": lambda p: windowed(p.w).groupBy("count").count(),
            "event-time duplicates of windows": lambda p: windowed(p.w).dropDuplicates(["window"]),
            "pivot": lambda p: p.s.groupBy("k").pivot("v", [1, 2]).count(),
        }
    )


@case(timeout_seconds=60)
def with_one_stateful_operator_allowed(spark, env):
    spark.conf.set("spark.sql.streaming.statefulOperator.allowMultiple", "false")
    return table(
        spark, env, {
            "window": lambda p: windowed(p.w),
            "window over window": lambda p: windowed(p.w).groupBy(window("window", "1 hour")).count(),
            "window over duplicates": lambda p: windowed(p.w.dropDuplicates(["k", "ts"])),
            "duplicates over duplicates": lambda p: p.w.dropDuplicates(["k"]).dropDuplicates(["v"]),
        }
    )
