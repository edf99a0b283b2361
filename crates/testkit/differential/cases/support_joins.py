"""Which joins run as a stream: every type, side, watermark and output mode."""

from pyspark.sql.functions import col, count, expr, window

from harness import case
from harness.streams import MODES, outcomes

TYPES = ["inner", "cross", "left", "right", "full", "semi", "anti"]


def streams(env, *, left="10 minutes", right="10 minutes"):
    """Two streams, each with its watermark or without one."""
    if not env.tree("left"):
        env.write("left/a.json", [{"lt": "2024-01-01T10:00:00Z", "lk": "a"}])
        env.write("right/a.json", [{"rt": "2024-01-01T10:01:00Z", "rk": "a"}])
    l, r = env.events("lt timestamp, lk string, x int", "left"), env.events("rt timestamp, rk string, y int", "right")
    return (l.withWatermark("lt", left) if left else l), (r.withWatermark("rt", right) if right else r)


def joined(left, right, on, how):
    return left.crossJoin(right) if how == "cross" else left.join(right, expr(on), how)


def of_all_types(env, left, right, on, modes=MODES, types=TYPES):
    return {how: env.attempt(lambda: outcomes(env, joined(left, right, on, how), modes)) for how in types}


def table(spark):
    return spark.createDataFrame([("a", 1)], "k string, x int")


@case(timeout_seconds=60)
def stream_with_table(spark, env):
    left, _ = streams(env)
    return of_all_types(env, left, table(spark), "lk = k")


@case(timeout_seconds=60)
def table_with_stream(spark, env):
    _, right = streams(env)
    return of_all_types(env, table(spark), right, "k = rk")


@case(timeout_seconds=60)
def tables_and_aggregates(spark, env):
    """Joins below and above an aggregation."""
    left, right = streams(env)
    counted = left.groupBy(window("lt", "10 minutes"), "lk").count()
    t = table(spark)
    return {
        "stream with table, counted": of_all_types(
            env, left, t, "lk = k", types=["inner", "left", "semi", "anti"], modes=["complete"]
        ),
        "counts with table": of_all_types(env, counted, t, "lk = k"),
        "table with counts": of_all_types(env, t, counted, "lk = k"),
        "joined, then counted": {
            how: env.attempt(lambda: outcomes(env,
                                              joined(left, t, "lk = k", how).groupBy("lk").count()))
            for how in TYPES
        },
    }


SITUATIONS = {
    "no watermark": (None, None, "lk = rk"),
    "watermarks off the keys": ("10 minutes", "10 minutes", "lk = rk"),
    "watermark in the left key": ("10 minutes", None, "lk = rk and lt = rt"),
    "watermark in the right key": (None, "10 minutes", "lk = rk and lt = rt"),
    "watermark in both keys": ("10 minutes", "10 minutes", "lt = rt"),
    "range": ("10 minutes", "10 minutes", "lk = rk and rt between lt and lt + interval 5 minutes"),
    "range, left watermark": ("10 minutes", None, "lk = rk and rt between lt and lt + interval 5 minutes"),
    "range, right watermark": (None, "10 minutes", "lk = rk and rt between lt and lt + interval 5 minutes"),
    "range, no watermark": (None, None, "lk = rk and rt between lt and lt + interval 5 minutes"),
    "upper bound": ("10 minutes", "10 minutes", "lk = rk and rt < lt + interval 5 minutes"),
    "lower bound": ("10 minutes", "10 minutes", "lk = rk and rt > lt - interval 5 minutes"),
    "order of times": ("10 minutes", "10 minutes", "lk = rk and rt >= lt"),
    "months": ("10 minutes", "10 minutes", "lk = rk and rt between lt and lt + interval 1 month"),
    "casts": (
        "10 minutes", "10 minutes",
        "lk = rk and cast(rt as long) >= cast(lt as long) and cast(rt as long) < cast(lt as long) + 300"
    ),
    "other inequality": ("10 minutes", "10 minutes", "lk = rk and x < y"),
    "range without equality": ("10 minutes", "10 minutes", "rt between lt and lt + interval 5 minutes"),
    "null-safe equality": ("10 minutes", "10 minutes", "lk <=> rk"),
}


def situations(env, how, modes):
    told = {}
    for name, (left, right, on) in SITUATIONS.items():
        sides = streams(env, left=left, right=right)
        told[name] = env.attempt(lambda: outcomes(env, joined(*sides, on, how), modes))
    return told


@case(timeout_seconds=120)
def inner(spark, env):
    return situations(env, "inner", MODES)


@case(timeout_seconds=120)
def left_outer(spark, env):
    return situations(env, "left", MODES)


@case(timeout_seconds=120)
def right_outer(spark, env):
    return situations(env, "right", MODES)


@case(timeout_seconds=120)
def full_outer(spark, env):
    return situations(env, "full", MODES)


@case(timeout_seconds=120)
def left_semi(spark, env):
    return situations(env, "semi", MODES)


@case(timeout_seconds=120)
def left_anti(spark, env):
    return situations(env, "anti", MODES)


@case(timeout_seconds=60)
def cross(spark, env):
    left, right = streams(env)
    return outcomes(env, left.crossJoin(right))


@case(timeout_seconds=120)
def windows_as_keys(spark, env):
    left, right = streams(env)
    left, right = left.select("lk", window("lt", "5 minutes").alias("lw")
                              ), right.select("rk", window("rt", "5 minutes").alias("rw"))
    return of_all_types(env, left, right, "lk = rk and lw = rw", types=["inner", "left", "right", "full", "semi"])


RANGE = "lk = rk and rt between lt and lt + interval 5 minutes"


@case(timeout_seconds=120)
def with_other_stateful_operators(spark, env):
    left, right = streams(env)
    third = env.events("tt timestamp, tk string", "third")
    env.directory("third")
    on = lambda how: joined(left, right, RANGE, how)
    counted = lambda df: df.groupBy(window("lt", "10 minutes")).count()
    windows = lambda df, time, name: df.groupBy(window(time, "10 minutes").alias(name)).count()
    rows = {
        "inner, counted by window": lambda: counted(on("inner").drop("rt")),
        "left, counted by window": lambda: counted(on("left").drop("rt")),
        "inner, counted by key": lambda: on("inner").drop("rt").groupBy("lk").count(),
        "inner, counted, both times kept": lambda: counted(on("inner")),
        "inner, duplicates": lambda: on("inner").drop("rt").dropDuplicates(["lk", "lt"]),
        "inner, duplicates, both times kept": lambda: on("inner").dropDuplicates(["lk"]),
        "two joins": lambda: on("inner").drop("rt").join(third, expr("lk = tk")),
        "two joins, both times kept": lambda: on("inner").join(third, expr("lk = tk")),
        "duplicates, then inner": lambda: joined(left.dropDuplicates(["lk", "lt"]), right, RANGE, "inner"),
        "windows joined": lambda: windows(left, "lt", "lw").join(windows(right, "rt", "rw"), expr("lw = rw")),
        "windows joined left": lambda: windows(left, "lt", "lw").
        join(windows(right, "rt", "rw"), expr("lw = rw"), "left"),
        "inner, then everything counted": lambda: on("inner").drop("rt").agg(count("*")),
        "inner, sorted": lambda: on("inner").orderBy("lt"),
        "inner, limited": lambda: on("inner").limit(1),
        "with a table": lambda: on("inner").join(table(spark), col("lk") == col("k")),
        "of one stream with itself": lambda: left.alias("a").join(left.alias("b"), expr("a.lk = b.lk")),
    }
    return {name: env.attempt(lambda: outcomes(env, plan())) for name, plan in rows.items()}
