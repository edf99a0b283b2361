"""Random streaming programs: a seed makes a query, its input cut into batches, and its output mode.

    columns, columns         withWatermark?       one or two of                      append
    or filters        ──►    before or after ──►  aggregate dedup distinct limit ──► update
    over t, k, v             them                 session join union                 complete

Shapes, keys, aggregates, delays, lateness, NULLs and batch cuts are drawn at random; nothing is drawn that has no
one answer (an aggregate that depends on the order of rows, say). What Spark refuses is as good an answer as rows.

The draw depends on the seed alone: `random.Random` gives the same numbers in every Python. Changing anything here changes
the programs, and every answer must be recorded again.
"""

import random

from pyspark.sql.functions import col, expr, session_window, window

EVENT = "t timestamp, k string, v int"
MINUTES = 180


def program(seed: int):
    """The case of a seed: a function of a session and an environment."""

    def run(spark, env):
        draw = random.Random(seed)
        if draw.random() < 0.2:
            spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", "false")
        shape = draw.choices(
            ["none", "aggregate", "window", "session", "dedup", "distinct", "limit", "join", "union", "chain"],
            [1, 4, 6, 3, 3, 1, 1, 4, 2, 3],
        )[0]
        inputs = ["left", "right"] if shape in ("join", "union") else ["in"]
        steps = [
            {name: events(draw, step) for name in draw.sample(inputs, draw.randint(1, len(inputs)))}
            for step in range(draw.randint(3, 6))
        ]
        told = {"query": None}

        def query():
            df = SHAPES[shape](draw, env)
            mode = draw.choice(["append", "append", "update", "complete"])
            told["query"] = f"{shape}, {mode}"
            return env.run_stream(df, mode, steps)

        told["answer"] = env.attempt(query)
        return told

    return run


def events(draw, step: int):
    """The rows of one batch: event time moves on with the steps, some rows come late, some columns are missing."""
    rows = []
    for _ in range(draw.randint(1, 7)):
        minute = step * 25 + draw.randint(0, 30)
        if draw.random() < 0.25:
            minute = draw.randint(0, minute)
        row = {"t": f"2024-01-01T{10 + minute // 60:02}:{minute % 60:02}:{draw.choice([0, 0, 30]):02}Z"}
        row["k"] = draw.choice("abc")
        row["v"] = draw.randint(-3, 9)
        for name in ("t", "k", "v"):
            if draw.random() < 0.07:
                del row[name]
        rows.append(row)
    return rows


def source(draw, env, name="in", *, watermark=0.75):
    """An input under random filters and projections, with a watermark above or below them most of the time."""
    df = env.events(EVENT, name)
    delay = draw.choice(["0 seconds", "5 minutes", "10 minutes", "30 minutes"])
    marked, first = draw.random() < watermark, draw.random() < 0.5
    if marked and first:
        df = df.withWatermark("t", delay)
    for _ in range(draw.choice([0, 0, 1, 2])):
        df = draw.choice(STATELESS)(df)
    if marked and not first:
        df = df.withWatermark("t", delay)
    return df


STATELESS = [
    lambda df: df.filter("v > 0"),
    lambda df: df.filter("k is not null"),
    lambda df: df.filter("k <> 'c' or v is null"),
    lambda df: df.filter("t >= timestamp '2024-01-01 10:10:00'"),
    lambda df: df.withColumn("v", col("v") * 2 - 1),
    lambda df: df.withColumn("k", expr("upper(coalesce(k, 'none'))")),
    lambda df: df.select("v", "t", "k"),
    lambda df: df.withColumn("t", expr("t + interval 90 seconds")),
]

AGGREGATES = [
    "count(*) as n", "count(v) as cv", "sum(v) as s", "min(v) as lo", "max(t) as last", "avg(v) as mean",
    "array_sort(collect_list(v)) as vs", "array_sort(collect_set(k)) as ks", "max(struct(v, k)) as top",
    "count_if(v > 2) as big", "sum(v) filter (where k = 'a') as sa", "approx_count_distinct(k) as dk",
    "bool_or(v > 5) as high", "round(stddev_pop(v), 6) as sd",
]


def aggregates(draw):
    return [expr(text) for text in draw.sample(AGGREGATES, draw.randint(1, 3))]


def time_window(draw, column="t"):
    length, slide, start = draw.choice(
        [
            ("10 minutes", None, None), ("30 minutes", None, None), ("1 hour", None, "15 minutes"),
            ("20 minutes", "10 minutes", None), ("30 minutes", "20 minutes", None), ("25 minutes", "10 minutes", "5 minutes"),
        ]
    )
    return window(column, length, slide, start)


def stateless(draw, env):
    return source(draw, env)


def aggregate(draw, env):
    keys = draw.choice([[], ["k"], ["k"], ["t"], ["k", expr("v % 3 as m")], [expr("v > 2 as big")]])
    return source(draw, env).groupBy(*keys).agg(*aggregates(draw))


def windowed(draw, env):
    keys = draw.choice([[], ["k"], [expr("v % 2 as m")]])
    return source(draw, env, watermark=0.9).groupBy(*keys, time_window(draw)).agg(*aggregates(draw))


def session(draw, env):
    gap = draw.choice(["5 minutes", "12 minutes", expr("case when k = 'a' then '20 minutes' else '3 minutes' end")])
    rows = source(draw, env, watermark=0.9).groupBy("k", session_window("t", gap))
    return rows.agg(*aggregates(draw))


def dedup(draw, env):
    df = source(draw, env)
    return draw.choice(
        [
            lambda: df.dropDuplicates(["k"]).select("k"),
            lambda: df.dropDuplicates(["k", "t"]).select("k", "t"),
            lambda: df.dropDuplicates(["t"]).select("t"),
            lambda: df.dropDuplicatesWithinWatermark(["k"]).select("k"),
            lambda: df.dropDuplicates(["k", "t"]).groupBy("k").count(),
            lambda: df.dropDuplicates(["k", "t"]).groupBy(window("t", "30 minutes")).count(),
        ]
    )()


def distinct(draw, env):
    return source(draw, env).select(*draw.choice([["k"], ["k", "v"], ["t"]])).distinct()


def limit(draw, env):
    # Of equal rows it does not matter which ones come.
    return source(draw, env).selectExpr("1 as one").limit(draw.choice([0, 3, 8]))


JOIN_CONDITIONS = [
    "lk = rk", "lk = rk and rt between lt and lt + interval 15 minutes",
    "lk = rk and rt >= lt - interval 10 minutes and rt <= lt", "lk = rk and lt = rt",
    "lk = rk and rt > lt and rt < lt + interval 30 minutes and lv <> rv",
]


def join(draw, env):
    left = source(draw, env, "left", watermark=0.9).selectExpr("t as lt", "k as lk", "v as lv")
    right = source(draw, env, "right", watermark=0.9).selectExpr("t as rt", "k as rk", "v as rv")
    kind = draw.choice(["inner", "inner", "left_outer", "right_outer", "full_outer", "left_semi"])
    joined = left.join(right, expr(draw.choice(JOIN_CONDITIONS)), kind)
    if draw.random() < 0.2:
        joined = joined.groupBy(window("lt", "30 minutes")).count()
    return joined


def union(draw, env):
    both = source(draw, env, "left").select("t", "k", "v").union(source(draw, env, "right").select("t", "k", "v"))
    return draw.choice(
        [
            lambda: both,
            lambda: both.groupBy("k").agg(*aggregates(draw)),
            lambda: both.groupBy(time_window(draw)).agg(*aggregates(draw)),
            lambda: both.dropDuplicates(["k", "t"]).select("k", "t"),
        ]
    )()


def chain(draw, env):
    first = source(draw, env, watermark=1.0).groupBy("k", window("t", "10 minutes")).agg(expr("count(*) as n"))
    return draw.choice(
        [
            lambda: first.groupBy(window("window", "30 minutes")).agg(expr("sum(n) as total"), expr("count(*) as keys")),
            lambda: first.groupBy(window(expr("window_time(window)"), "20 minutes"), "k").agg(expr("max(n) as most")),
            lambda: first.dropDuplicates(["window", "n"]).select("window", "n"),
            lambda: first.filter("n > 1").groupBy("window").agg(expr("count(*) as keys")),
        ]
    )()


SHAPES = {
    "none": stateless, "aggregate": aggregate, "window": windowed, "session": session, "dedup": dedup, "distinct": distinct,
    "limit": limit, "join": join, "union": union, "chain": chain,
}
