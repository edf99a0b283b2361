"""Where semi and anti joins, and filters with a subquery, take rows away: below a watermark, a join, an aggregation or not.
What is counted as late and what moves the watermark tells."""

from pyspark.sql.functions import col, expr, window

from harness import case

EVENTS = "t timestamp, k string, v int"


def at(minute, k, v=1):
    return {"t": f"2024-01-01T10:{minute:02}:00Z", "k": k, "v": v}


# A key that no table has is far ahead, and then a row that is late only if that counted.
AHEAD = [[at(0, "a"), at(50, "z")], [at(10, "a"), at(20, "b", 4)], [at(58, "a", 2)], [at(57, "b")]]


def source(env, name="in"):
    return env.events(EVENTS, name, maxFilesPerTrigger=1)


def marked(env, name="in"):
    return source(env, name).withWatermark("t", "5 minutes")


def known(spark):
    return spark.sql("SELECT * FROM VALUES ('a', 1), ('b', 2) AS q(tk, tv)")


def windows(df):
    return df.groupBy(window("t", "10 minutes").alias("w"), "k").agg(expr("sum(v) AS v"))


def of(predicate):
    """The windows of a stream with a filter above its watermark."""

    def run(spark, env):
        return env.run_stream(windows(marked(env).filter(predicate)), "append", AHEAD, sources=1)

    return run


FILTERS = {
    "in_a_subquery": "k IN (SELECT tk FROM VALUES ('a'), ('b') AS q(tk))",
    "not_in_a_subquery": "k NOT IN (SELECT tk FROM VALUES ('z') AS q(tk))",
    "exists": "EXISTS (SELECT 1 FROM VALUES ('a'), ('b') AS q(tk) WHERE tk = k)",
    "not_exists": "NOT EXISTS (SELECT 1 FROM VALUES ('z') AS q(tk) WHERE tk = k)",
    "exists_that_asks_of_event_time": "EXISTS (SELECT 1 FROM VALUES ('z') AS q(tk) WHERE tk <> k AND t > timestamp '2024-01-01 00:00:00')",
    "in_a_subquery_and_more": "v < 4 AND k IN (SELECT tk FROM VALUES ('a'), ('b') AS q(tk))",
    "in_a_correlated_subquery": "k IN (SELECT tk FROM VALUES ('a', 1), ('b', 4) AS q(tk, tv) WHERE tv = v)",
}
for name, predicate in FILTERS.items():
    run = of(predicate)
    run.__name__ = name
    run.__module__ = __name__
    case(run)


@case
def in_a_subquery_above_a_renaming(spark, env):
    df = marked(env).withColumnRenamed("k", "x").withColumn("w2", expr("v + 1"))
    df = df.filter("x IN (SELECT tk FROM VALUES ('a'), ('b') AS q(tk)) AND w2 > 1").withColumnRenamed("x", "k")
    return env.run_stream(windows(df), "append", AHEAD, sources=1)


@case
def in_a_subquery_above_an_aggregation(spark, env):
    df = windows(marked(env)).filter("k IN (SELECT tk FROM VALUES ('a'), ('b') AS q(tk))")
    return env.run_stream(df, "append", AHEAD, sources=1)


@case
def semi_join_above_a_watermark(spark, env):
    df = marked(env).join(known(spark), col("k") == col("tk"), "left_semi")
    return env.run_stream(windows(df), "append", AHEAD, sources=1)


@case
def semi_join_above_an_aggregation(spark, env):
    df = windows(marked(env)).join(known(spark), col("k") == col("tk"), "left_semi")
    return env.run_stream(df, "append", AHEAD, sources=1)


@case
def anti_join_above_an_aggregation_that_asks_of_its_value(spark, env):
    df = windows(marked(env)).join(known(spark), expr("k = tk AND v > tv"), "left_anti")
    return env.run_stream(df, "append", AHEAD, sources=1)


@case
def semi_join_above_a_union(spark, env):
    df = marked(env, "left").union(marked(env, "right")).join(known(spark), col("k") == col("tk"), "left_semi")
    given = [{"left": rows} if n % 2 else {"left": rows, "right": rows[:1]} for n, rows in enumerate(AHEAD)]
    return env.run_stream(windows(df), "append", given, sources=2)


def joined(env, how="inner"):
    left = marked(env, "left").selectExpr("t AS lt", "k AS lk", "v AS lv")
    right = marked(env, "right").selectExpr("t AS rt", "k AS rk", "v AS rv")
    return left.join(right, expr("lk = rk AND rt >= lt AND rt <= lt + INTERVAL 10 MINUTES"), how)


PAIRS = [
    {"left": [at(0, "a"), at(2, "b", 2)], "right": [at(1, "a", 2), at(3, "b", 3)]},
    {"left": [at(50, "c", 9)], "right": [at(50, "c", 9)]},
    {"left": [at(1, "b", 2), at(1, "a", 1)], "right": [at(2, "a", 2), at(2, "b", 7)]},
    {"left": [at(55, "a", 1)], "right": [at(56, "a", 7)]},
]


def above_a_join(how, condition, kind):
    def run(spark, env):
        df = joined(env, how).join(known(spark), expr(condition), kind)
        return env.run_stream(df, "append", PAIRS, sources=2)

    return run


ABOVE_A_JOIN = {
    "anti_join_of_the_right_side_of_a_join": ("inner", "rv = tv", "left_anti"),
    "anti_join_of_the_left_side_of_a_join": ("inner", "lv = tv", "left_anti"),
    "semi_join_of_both_sides_of_a_join": ("inner", "lv = tv AND rk = tk", "left_semi"),
    "semi_join_with_a_filter_of_the_other_side": ("inner", "lk = tk AND rv > 2", "left_semi"),
    "semi_join_of_the_left_of_a_left_outer_join": ("left", "lv = tv", "left_semi"),
    "anti_join_of_the_right_of_a_left_outer_join": ("left", "rv = tv", "left_anti"),
    "semi_join_of_the_left_of_a_full_outer_join": ("full", "lv = tv", "left_semi"),
}
for name, (how, condition, kind) in ABOVE_A_JOIN.items():
    run = above_a_join(how, condition, kind)
    run.__name__ = name
    run.__module__ = __name__
    case(run)


@case
def semi_join_of_streams_above_an_aggregation(spark, env):
    left = windows(marked(env, "left"))
    right = marked(env, "right").select(window("t", "10 minutes").alias("rw"), col("k").alias("rk"))
    df = left.join(right, expr("w = rw AND k = rk"), "left_semi")
    return env.run_stream(df, "append", PAIRS, sources=2)


@case
def deduplicated_without_a_watermark_below_a_join(spark, env):
    left = source(env, "left").dropDuplicates(["k", "v"]).selectExpr("t AS lt", "k AS lk", "v AS lv")
    right = marked(env, "right").selectExpr("t AS rt", "k AS rk", "v AS rv")
    df = left.join(right, expr("lk = rk AND rt >= lt AND rt <= lt + INTERVAL 10 MINUTES"))
    df = df.dropDuplicates(["rt", "lk"])
    return env.run_stream(df, "append", PAIRS, sources=2)


@case
def deduplicated_by_one_of_two_event_times(spark, env):
    return env.run_stream(joined(env).dropDuplicates(["rt", "lk"]).select("rt", "lk"), "append", PAIRS, sources=2)


@case
def deduplicated_with_two_event_times(spark, env):
    return env.attempt(lambda: env.run_stream(joined(env).dropDuplicates(["rt", "lk"]), "append", PAIRS, sources=2))
