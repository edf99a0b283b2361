"""`spark.sql.streaming.statefulOperator.allowMultiple=false`: one stateful operator per query, and late rows told by the
watermark of their own batch, as before Spark 3.4; and what turning the correctness check off lets run."""

from pyspark.sql.functions import count, expr, session_window, window, window_time

from harness import case
from harness.streams import outcomes

EVENT = "ts timestamp, k string, v int"
ONE = "spark.sql.streaming.statefulOperator.allowMultiple"
CHECK = "spark.sql.streaming.statefulOperator.checkCorrectness.enabled"
NO_DATA = "spark.sql.streaming.noDataMicroBatches.enabled"


def at(minute: str, k: str = "a", v: int = 1):
    time = minute if minute.count(":") == 2 else f"{minute}:00"
    return {"ts": f"2024-01-01T{time}Z", "k": k, "v": v}


# Rows of the fourth step are late by the third's own watermark and not by the one before it.
JOURNEY = [
    [at("10:01"), at("10:04", "b")],
    [at("10:12")],
    [at("10:35")],
    [at("10:05"), at("10:14"), at("10:24"), at("10:26")],
    [at("10:26"), at("10:50")],
    [at("10:39:59.999"), at("10:40")],
]


def marked(env, name="in", delay="10 minutes"):
    return env.events(EVENT, name).withWatermark("ts", delay)


def windowed(df):
    return df.groupBy(window("ts", "10 minutes")).count().select("window.start", "count")


def runs(plan, mode="append", steps=JOURNEY):
    """The plan as Spark runs it by default and with one operator allowed, with and without no-data batches."""

    def run(spark, env):
        told = {}
        for name, multiple, no_data in [("several", "true", "false"), ("one", "false", "false"), ("one, no-data", "false", "true")]:
            spark.conf.set(ONE, multiple)
            spark.conf.set(NO_DATA, no_data)
            here = [{f"{d}-{name}": rows for d, rows in (s if isinstance(s, dict) else {"in": s}).items()} for s in steps]
            told[name] = env.run_stream(plan(env, lambda d: f"{d}-{name}"), mode, here)
        return told

    return run


PLANS = {
    "windows_in_append": (lambda env, d: windowed(marked(env, d("in"))), "append"),
    "windows_in_update": (lambda env, d: windowed(marked(env, d("in"))), "update"),
    "windows_in_complete": (lambda env, d: windowed(marked(env, d("in"))), "complete"),
    "duplicates_by_event_time": (lambda env, d: marked(env, d("in")).dropDuplicates(["k", "ts"]), "append"),
    "duplicates_within_watermark": (lambda env, d: marked(env, d("in")).dropDuplicatesWithinWatermark(["k"]), "append"),
    "sessions": (
        lambda env, d: marked(env, d("in")).groupBy("k", session_window("ts", "5 minutes")).count()
        .select("k", "session_window.start", "session_window.end", "count"), "append"
    ),
    "sliding_windows": (
        lambda env, d: marked(env, d("in")).groupBy(window("ts", "20 minutes", "10 minutes")).count()
        .select("window.start", "count"), "append"
    ),
}

for name, (plan, mode) in PLANS.items():
    run = runs(plan, mode)
    run.__name__ = f"late_rows_of_{name}"
    case(timeout_seconds=90)(run)


def joined(how):
    def plan(env, d):
        left = marked(env, d("l")).selectExpr("ts as lt", "k as lk", "v as lv")
        right = marked(env, d("r")).selectExpr("ts as rt", "k as rk", "v as rv")
        return left.join(right, expr("lk = rk and rt between lt and lt + interval 5 minutes"), how)

    return plan


JOINED = [
    {"l": [at("10:00"), at("10:02", "b")], "r": [at("10:03")]},
    {"l": [at("10:40", "x")], "r": [at("10:40", "y")]},
    {"l": [at("10:20", "late"), at("10:30", "edge"), at("10:31")], "r": [at("10:32"), at("10:21", "late")]},
    {"l": [at("11:10", "x")], "r": [at("11:10", "y")]},
    {"l": [at("10:59", "late")], "r": [at("11:11", "x")]},
]
for how in ("inner", "left", "full"):
    run = runs(joined(how), "append", JOINED)
    run.__name__ = f"late_rows_of_{how}_join"
    case(timeout_seconds=90)(run)


def shapes(env):
    env.write("in/a.json", [at("10:00")])
    env.write("other/a.json", [at("10:00")])
    one, two = marked(env), marked(env, "other").selectExpr("ts as rt", "k as rk")
    on = lambda how: one.join(two, expr("k = rk and rt between ts and ts + interval 5 minutes"), how).drop("rt")
    counts = lambda df: df.groupBy(window("ts", "10 minutes")).count()
    return {
        "window": lambda: counts(one),
        "window, rolled up": lambda: counts(one).groupBy(window(window_time("window"), "1 hour")).count(),
        "window, duplicates by window": lambda: counts(one).dropDuplicates(["window"]),
        "window, duplicates by count": lambda: counts(one).dropDuplicates(["count"]),
        "duplicates, window": lambda: counts(one.dropDuplicates(["k", "ts"])),
        "duplicates, then by key": lambda: one.dropDuplicates(["k"]).groupBy("k").count(),
        "duplicates twice": lambda: one.dropDuplicates(["k", "ts"]).dropDuplicates(["v", "ts"]),
        "within watermark, window": lambda: counts(one.dropDuplicatesWithinWatermark(["k"])),
        "inner join": lambda: on("inner"),
        "left join": lambda: on("left"),
        "inner join, window": lambda: counts(on("inner")),
        "left join, window": lambda: counts(on("left")),
        "inner join, duplicates": lambda: on("inner").dropDuplicates(["k", "ts"]),
        "window, inner join": lambda: counts(one).join(
            marked(env, "other").groupBy(window("ts", "10 minutes")).agg(count("*").alias("n")), "window"),
        "duplicates, inner join": lambda: one.dropDuplicates(["k", "ts"]).join(
            two, expr("k = rk and rt between ts and ts + interval 5 minutes")),
        "limit, window": lambda: counts(one.limit(3)),
        "window, limit": lambda: counts(one).limit(3),
        "session, window": lambda: one.groupBy("k", session_window("ts", "5 minutes")).count().groupBy(
            window(window_time("session_window"), "1 hour")).count(),
        "duplicates, session": lambda: one.dropDuplicates(["k", "ts"]).groupBy(
            "k", session_window("ts", "5 minutes")).count(),
        "watermark twice": lambda: counts(one.withWatermark("ts", "5 minutes")),
        "watermark after a window": lambda: counts(one).selectExpr("window_time(window) as at").withWatermark(
            "at", "5 minutes").groupBy(window("at", "1 hour")).count(),
    }


def all_modes(env):
    return {name: env.attempt(lambda: outcomes(env, plan())) for name, plan in shapes(env).items()}


@case(timeout_seconds=120)
def several_operators(spark, env):
    return all_modes(env)


@case(timeout_seconds=120)
def several_operators_where_one_is_allowed(spark, env):
    spark.conf.set(ONE, "false")
    return all_modes(env)


@case(timeout_seconds=120)
def several_operators_without_the_correctness_check(spark, env):
    spark.conf.set(CHECK, "false")
    return all_modes(env)


@case(timeout_seconds=120)
def one_operator_allowed_and_no_correctness_check(spark, env):
    spark.conf.set(ONE, "false")
    spark.conf.set(CHECK, "false")
    return all_modes(env)


ROLLED = [[at("10:01"), at("10:15")], [at("10:40")], [at("10:16"), at("11:06")], [at("10:41"), at("11:40")], [at("12:40")]]


def unchecked(one_allowed: str):
    def run(spark, env):
        spark.conf.set(CHECK, "false")
        spark.conf.set(ONE, one_allowed)
        small = lambda d: marked(env, d).groupBy(window("ts", "10 minutes")).count()
        rolled = lambda d: small(d).groupBy(window(window_time("window"), "1 hour")).agg(expr("sum(count) as n")) \
            .select("window.start", "n")
        steps = lambda d: [{d: s} for s in ROLLED]
        told = {
            mode: env.attempt(lambda: env.run_stream(rolled(mode), mode, steps(mode)))
            for mode in ("append", "update", "complete")
        }
        told["by count, in update"] = env.attempt(
            lambda: env.run_stream(small("c").groupBy("count").agg(count("*").alias("n")), "update", steps("c")))
        return told

    return run


for multiple in ("true", "false"):
    run = unchecked(multiple)
    run.__name__ = "windows_over_windows_unchecked" + ("" if multiple == "true" else "_where_one_is_allowed")
    case(timeout_seconds=90)(run)


@case(timeout_seconds=60)
def watermark_declared_twice(spark, env):
    """Refused once the first watermark has moved; allowed with one operator."""
    told = {}
    for multiple in ("true", "false"):
        spark.conf.set(ONE, multiple)
        d = f"in-{multiple}"
        df = windowed(marked(env, d).withWatermark("ts", "5 minutes"))
        told[multiple] = env.run_stream(df, "append", [{d: s} for s in JOURNEY[:4]])
    return told
