"""Aggregate functions in batch, grouped and global: values, types, NULLs and empty input."""

from pyspark.sql import functions as F

from harness import case

DATA = (
    "select * from values ('a', 1, 1.5D, 10.25, true), ('a', 2, -2.5D, 0.75, false), ('a', null, null, "
    "null, null), ('b', 4, 8.0D, 3.50, true), ('b', 4, 8.0D, 3.50, true), ('c', null, null, null, null), "
    "(null, 7, 0.0D, 1.00, false) as t(k, i, d, m, b)"
)


def each(env, spark, expressions, source=DATA):
    """Each aggregate by itself: over each group, over everything, over nothing."""
    df = spark.sql(source).coalesce(1)

    def answers(e):
        grouped = df.groupBy("k").agg(F.expr(e).alias("v")).orderBy("k")
        return {
            "by k": env.rows(grouped, ordered=True),
            "all": env.table(df.agg(F.expr(e).alias("v"))),
            "none": env.rows(df.where("false").agg(F.expr(e).alias("v")))[0][0]
        }

    return {e: env.attempt(lambda: answers(e)) for e in expressions}


@case(timeout_seconds=40)
def counting_and_sums(spark, env):
    return each(
        env, spark, [
            "count(*)", "count(1)", "count(i)", "count(i, d)", "count(distinct i)", "count(distinct i, d)",
            "count_if(i > 1)", "sum(i)", "sum(d)", "sum(m)", "sum(distinct i)", "avg(i)", "avg(m)", "mean(d)",
            "try_sum(i)", "try_avg(i)", "sum(i) filter (where i > 1)", "count(*) filter (where b)",
            "approx_count_distinct(i)", "approx_count_distinct(i, 0.1)"
        ]
    )


@case(timeout_seconds=40)
def extremes_and_picks(spark, env):
    return each(
        env, spark, [
            "min(i)", "max(d)", "min(k)", "max(b)", "min(struct(i, d))", "max_by(d, i)", "min_by(d, i)",
            "max_by(i, m)", "any_value(k)", "first(i)", "last(i)", "first(i, true)", "last(i) ignore nulls",
            "first_value(d)", "bool_and(b)", "bool_or(b)", "every(b)", "some(b)", "any(b)", "mode(i)",
            "median(i)", "median(d)"
        ]
    )


@case(timeout_seconds=40)
def statistics(spark, env):
    r = lambda e: f"round({e}, 10)"
    return each(
        env, spark, [
            r(e) for e in (
                "stddev(i)", "stddev_samp(d)", "stddev_pop(d)", "variance(i)", "var_samp(d)", "var_pop(m)",
                "skewness(d)", "kurtosis(d)", "corr(i, d)", "covar_pop(i, d)", "covar_samp(i, d)",
                "regr_slope(d, i)", "regr_r2(d, i)"
            )
        ] + [
            "regr_count(d, i)", "percentile(i, 0.5)", "percentile(d, array(0.25, 0.75))",
            "percentile_cont(0.5) within group (order by d)",
            "percentile_disc(0.5) within group (order by i)", "percentile_approx(i, 0.5)",
            "approx_percentile(d, array(0.1, 0.9), 100)"
        ]
    )


@case(timeout_seconds=40)
def collections(spark, env):
    return each(
        env, spark, [
            "collect_list(i)", "array_agg(k)", "sort_array(collect_set(i))", "size(collect_set(d))",
            "collect_list(struct(k, i))", "listagg(k, ',')", "string_agg(k)",
            "listagg(k, ',') within group (order by i desc)", "bit_and(i)", "bit_or(i)", "bit_xor(i)",
            "histogram_numeric(i, 3)", "count_min_sketch(i, 0.5D, 0.5D, 1)", "product(i)"
        ]
    )


@case
def python_functions(spark, env):
    df = spark.sql(DATA).coalesce(1)
    aggregates = {
        "count": F.count("*"),
        "countDistinct": F.countDistinct("i", "d"),
        "sum": F.sum("i"),
        "sumDistinct": F.sum_distinct("i"),
        "avg": F.avg("d"),
        "max_by": F.max_by("k", "i"),
        "first": F.first("i", ignorenulls=True),
        "collect_set": F.sort_array(F.collect_set("i")),
        "stddev": F.round(F.stddev("d"), 10),
        "approx": F.approx_count_distinct("i"),
        "percentile_approx": F.percentile_approx("i", [0.5, 0.9]),
        "product": F.product("i"),
        "when": F.sum(F.when(F.col("b"), 1).otherwise(0)),
        "count_if": F.count_if(F.col("i") > 1),
        "expression of aggregates": F.max("i") - F.min("i") + F.count("*"),
        "bool_and": F.bool_and("b"),
        "mode": F.mode("i")
    }
    return {
        name: env.attempt(lambda: env.table(df.groupBy("k").agg(a).orderBy("k"), ordered=True))
        for name, a in aggregates.items()
    }


@case
def grouping_api(spark, env):
    df = spark.sql(DATA).coalesce(1)
    attempts = {
        "count": lambda: df.groupBy("k").count(),
        "sum of all": lambda: df.groupBy("k").sum(),
        "max of some": lambda: df.groupBy("k").max("i", "d"),
        "dict": lambda: df.groupBy("k").agg({"i": "sum", "d": "avg"}).select("k", "sum(i)", "avg(d)"),
        "dict star": lambda: df.groupBy("k").agg({"*": "count"}),
        "two keys": lambda: df.groupBy("k", "b").count(),
        "expression key": lambda: df.groupBy((F.col("i") % 2).alias("odd")).count(),
        "no keys": lambda: df.groupBy().count(),
        "agg without group": lambda: df.agg(F.max("i"), F.min("d")),
        "rollup": lambda: df.rollup("k", "b").count(),
        "cube": lambda: df.cube("k", "b").agg(F.sum("i"), F.grouping_id()),
        "pivot": lambda: df.groupBy("k").pivot("b").sum("i"),
        "pivot values": lambda: df.groupBy("k").pivot("b", [True]).
        agg(F.sum("i").alias("s"),
            F.count("*").alias("n")),
        "having": lambda: df.groupBy("k").count().where("count > 1"),
        "not grouped": lambda: df.groupBy("k").agg(F.col("i")),
        "nested aggregate": lambda: df.groupBy("k").agg(F.sum(F.max("i"))),
        "distinct": lambda: df.select("k", "b").distinct(),
        "dropDuplicates": lambda: df.dropDuplicates(["i", "d"]).select("i", "d"),
        "describe": lambda: df.describe("i"),
        "summary": lambda: df.summary("count", "min", "max"),
    }
    return {name: env.attempt(lambda: env.table(build())) for name, build in attempts.items()}


@case(timeout_seconds=40)
def streaming_values(spark, env):
    """Every kind of aggregation buffer through state: three batches in update mode."""
    events = env.events("k string, i int, d double, t string")
    df = events.groupBy("k").agg(
        F.count("i").alias("n"),
        F.sum("i").alias("s"),
        F.avg("i").alias("a"),
        F.min("d").alias("lo"),
        F.max("t").alias("hi"),
        F.first("i").alias("f"),
        F.last("t").alias("l"),
        F.collect_list("i").alias("cl"),
        F.sort_array(F.collect_set("t")).alias("cs"),
        F.count_if(F.expr("i > 1")).alias("ci"),
        F.approx_count_distinct("i").alias("ad"),
        F.round(F.stddev("d"), 10).alias("sd"),
        F.round(F.var_pop("d"), 10).alias("vp"),
        F.max_by("t", "d").alias("mb"),
        F.round(F.corr("i", "d"), 10).alias("co"),
        F.bool_or(F.expr("i > 2")).alias("bo"),
        F.percentile_approx("i", 0.5).alias("pa")
    )
    row = lambda k, i, d, t: {"k": k, "i": i, "d": d, "t": t}
    return {
        "schema": env.schema(df),
        "run": env.run_stream(
            df, "update", [
                [row("a", 1, 1.5, "x"),
                 row("b", 2, 2.5, "y"),
                 row("a", None, None, None)], [row("a", 3, -1.0, "z"),
                                               row(None, 1, 1.0, "n")],
                [row("b", 5, 7.25, "y"), row("a", 1, 1.5, "w")]
            ]
        )
    }


@case
def streaming_sum_overflows(spark, env):
    df = env.events("i bigint").agg(F.sum("i").alias("s"))
    return env.run_stream(
        df, "update", [[{"i": 9223372036854775806}], [{"i": 1}], [{"i": 1}]], progress=False
    )


@case
def streaming_decimal_sum(spark, env):
    df = env.events("k string, m decimal(10,2)"
                    ).groupBy("k").agg(F.sum("m").alias("s"),
                                       F.avg("m").alias("a"),
                                       F.max("m").alias("x"))
    return {
        "schema": env.schema(df),
        "run": env.run_stream(
            df, "complete",
            [[{"k": "a", "m": 1.10}, {"k": "a", "m": 2.25}], [{"k": "a", "m": 0.01}, {"k": "b", "m": None}]]
        )
    }


@case
def streaming_global_aggregate_before_data(spark, env):
    """Complete mode over an empty directory, then a batch whose rows are all filtered out."""
    df = env.events("i int").where("i > 0").agg(F.count("*").alias("n"), F.sum("i").alias("s"))
    return env.run_stream(df, "complete", [[{"i": -1}], [{"i": 5}], [{"i": -2}]])


@case
def streaming_group_by_null_nan_and_zero(spark, env):
    df = env.events("d double").groupBy("d").count()
    return env.run_stream(
        df, "update",
        [['{"d":0.0}', '{"d":-0.0}', '{"d":"NaN"}', '{"d":null}'], ['{"d":-0.0}', '{"d":"NaN"}', "{}"]]
    )


@case
def streaming_group_by_nested_keys(spark, env):
    df = env.events("s struct<x:int,y:string>, a array<int>, day date").groupBy("s", "a", "day").count()
    row = lambda x, a: {"s": {"x": x, "y": "p"}, "a": a, "day": "2024-01-02"}
    return env.run_stream(
        df, "update",
        [[row(1, [1, 2]), row(1, [1, 2])], [row(1, [1, 2]), row(1, None),
                                            row(2, [1, 2])]]
    )


@case
def arguments_that_are_not_deterministic(spark, env):
    df = spark.range(3).selectExpr("id as i")
    return env.evaluate(df, [
        "sum(rand(1))", "count(uuid())", "max(monotonically_increasing_id())", "first(i + rand(1))", "count_if(rand(1) > 2)",
        "sum(i) + rand(1) > 0", "count(raise_error('x'))", "max(assert_true(i >= 0))", "max(current_timestamp()) is null",
        "sum(i) filter (where rand(1) < 2)",
    ])
