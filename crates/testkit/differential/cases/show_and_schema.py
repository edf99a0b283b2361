"""Printed text and schemas: show, printSchema, nullability, column names of expressions."""

from pyspark.sql import functions as F

from harness import case

MIXED = (
    "select * from values (1, 'short', 1.5D, date'2024-01-02', array(1, null), named_struct('x', 1, 'y', "
    "null), map('k', 2.5), true), (null, 'a text that is longer than twenty characters', null, null, null, "
    "null, null, null), (-3, 'tab\\tnew\\nline', double('NaN'), date'1999-12-31', array(), "
    "named_struct('x', 2, 'y', null), map(), false), (4, '日本', 1e20D, date'2024-01-02', array(5), "
    "named_struct('x', 3, 'y', null), map('a', null, 'b', 1.0), true) as t(i, s, d, day, a, st, m, b)"
)


@case
def show(spark, env):
    df = spark.sql(MIXED).coalesce(1)
    return {
        "default": env.printed(lambda: df.show()),
        "not truncated": env.printed(lambda: df.show(truncate=False)),
        "truncate 5": env.printed(lambda: df.show(truncate=5)),
        "truncate 2": env.printed(lambda: df.select("s").show(truncate=2)),
        "n": env.printed(lambda: df.select("i", "s").show(2)),
        "vertical": env.printed(lambda: df.select("i", "s", "st").show(2, vertical=True)),
        "vertical whole": env.printed(lambda: df.select("i", "s").show(truncate=False, vertical=True)),
        "n is 0": env.printed(lambda: df.select("i").show(0)),
        "empty": env.printed(lambda: df.where("false").select("i", "s").show()),
        "no columns": env.printed(lambda: df.select().show()),
        "one row of many": env.printed(lambda: spark.range(3).show(1)),
    }


@case
def show_values(spark, env):
    """How values of each type print."""
    expressions = [
        "1.0D", "1e7D", "1.1f", "cast(1 as decimal(10,2))", "X'4142ff'", "timestamp'2024-01-02 03:04:05'",
        "timestamp'2024-01-02 03:04:05.120'", "timestamp_ntz'2024-01-02 03:04:05.000001'",
        "interval 1 day 2 hours", "interval '1-2' year to month", "make_interval(1, 2, 3)",
        "array('a', null)", "map('k', array(1))", "struct(1, 'x', null)", "struct(struct(1))", "null", "''",
        "true", "date'2024-01-02'", "array()", "-0.0D", "named_struct('a', timestamp'2024-01-02 03:04:05')",
        "array(1.50, 2.00)", "map(1, X'41')", "array(X'41')", "cast('2024-01-02' as date) - date'2024-01-01'",
        "repeat('ab', 20)", "repeat('日', 15)", "'é'"
    ]
    return {
        e: env.
        attempt(lambda: env.printed(lambda: spark.sql("select 1").selectExpr(f"{e} as v").show())[3:4])
        for e in expressions
    }


@case
def print_schema(spark, env):
    df = spark.sql(MIXED)
    deep = spark.createDataFrame(
        [],
        (
            "a int not null, b struct<c: array<struct<d: map<string, int>>>>, e map<string, struct<f: "
            "int>>, g decimal(10,2) comment 'note', h timestamp_ntz, i interval day to second, j binary"
        )
    )
    return {
        "mixed": env.printed(df.printSchema),
        "deep": env.printed(deep.printSchema),
        "two levels": env.printed(lambda: deep.printSchema(2)),
        "stream": env.printed(env.events("a int not null, b array<string>").printSchema),
        "ddl of deep": deep.schema.simpleString()
    }


@case
def nullability(spark, env):
    df = spark.createDataFrame([(1, None)], "a int not null, n int")
    from_values = spark.sql("select * from values (1, null), (2, 3) as t(a, b)")
    selected = lambda d, *e: env.schema(d.selectExpr(*e), nullability=True)
    return {
        "created": env.schema(df, nullability=True),
        "values": env.schema(from_values, nullability=True),
        "expressions": selected(
            df, "a + 1 as p", "a + n as q", "a = 1 as e", "a <=> n as ns", "coalesce(n, 0) as c",
            "coalesce(n, n) as cn", "cast(a as string) as s", "cast('1' as int) as i",
            "try_cast('1' as int) as ti", "if(a > 0, 1, 2) as f", "if(a > 0, n, 2) as g",
            "case when a > 0 then 1 end as w", "a / 2 as d", "concat('a', 'b') as cc", "array(a, n) as arr",
            "array(1, 2) as a2", "map('k', a) as m", "struct(a, n) as st", "upper('x') as u",
            "count(*) over () as o", "length('abc') as len", "n is null as isn", "a in (1, n) as inn",
            "current_timestamp() as ct", "rand() as r", "uuid() as id", "split('a b', ' ') as sp",
            "null as nothing", "1 as one", "get_json_object('{}', '$.a') as j"
        ),
        "aggregates": env.schema(
            df.groupBy("a").agg(
                F.count("*"), F.sum("a"), F.max("a"), F.first("a"), F.collect_list("n"), F.avg("a"),
                F.count("n")
            ),
            nullability=True
        ),
        "joined left": env.schema(
            df.join(df.withColumnRenamed("a", "b"),
                    F.col("a") == F.col("b"), "left"), nullability=True
        ),
        "file source": env.schema(
            env.events("a int not null, s struct<x: int not null> not null"), nullability=True
        ),
        "range": env.schema(spark.range(1), nullability=True),
        "text stream": env.schema(env.lines(), nullability=True),
        "union": env.schema(df.select("a").union(df.select("n")), nullability=True),
        "filtered": env.schema(df.where("n is not null"), nullability=True),
    }


@case
def generated_column_names(spark, env):
    df = spark.sql(
        (
            "select 1 as a, 'x' as s, array(1) as arr, named_struct('f', 1) as st, date'2024-01-02' as d, "
            "map('k', 1) as m"
        )
    )
    expressions = [
        "a + 1", "-a", "a * (a + 2)", "a = 1", "not a = 1", "a > 0 and a < 2", "a is null", "upper(s)",
        "UPPER(S)", "concat(s, 'y')", "s || 'y'", "cast(a as string)", "a::bigint",
        "case when a > 0 then 'p' else 'n' end", "if(a > 0, 1, 2)", "a in (1, 2)", "a between 1 and 2",
        "s like 'x%'", "arr[0]", "st.f", "m['k']", "array(1, 'a')", "struct(a, s)", "named_struct('p', a)",
        "date_add(d, 1)", "d + 1", "extract(year from d)", "date_format(d, 'yyyy')", "coalesce(a, 0)",
        "transform(arr, x -> x + 1)", "interval 1 day", "1", "'lit'", "1.50", "1L", "null", "true", "2.0D",
        "X'1F'", "date'2024-01-02'", "timestamp'2024-01-02 00:00:00'", "a / 2", "a div 2", "a % 2",
        "mod(a, 2)", "substring(s, 1, 2)", "trim(s)", "current_date() is null", "round(1.234, 2)",
        "from_json('{}', 'q int')", "to_json(st)", "regexp_replace(s, 'a', 'b')", "split(s, ',')",
        "a <=> null", "a != 2", "a <> 2", "~a", "a & 1", "nvl(a, 0)", "explode(arr)", "s rlike 'x'",
        "to_timestamp(s, 'yyyy')", "year(d)", "count(*)", "count(1)", "sum(a)", "sum(distinct a)",
        "avg(a + 1)", "max(struct(a, s))", "count(distinct a, s)", "first(a)", "collect_list(a)",
        "sum(a) filter (where a > 0)", "stddev(a)", "row_number() over (order by a)",
        "sum(a) over (partition by s)", "approx_count_distinct(a)", "percentile(a, 0.5)"
    ]
    names = {}
    for e in expressions:
        names[e] = env.attempt(lambda: df.selectExpr(e).columns)
    names["python"] = df.select(
        F.col("a") + 1,
        F.col("a") == 2, F.upper("s"),
        F.col("a").cast("string"), F.col("st.f"),
        F.col("arr")[0], F.lit("x"), F.lit(1), F.when(F.col("a") > 1, "y"),
        F.col("a").isin(1, 2), F.to_timestamp("s", "yyyy"), F.split("s", ","), ~(F.col("a") > 1),
        F.col("s").like("x"), F.round("a", 2), F.concat_ws("-", "s", "s")
    ).columns
    names["window"] = df.groupBy(F.window(F.lit("2024-01-01").cast("timestamp"),
                                          "1 hour")).agg(F.sum("a"), F.count("*"), F.max("d")).columns
    return names


@case
def duplicate_names(spark, env):
    df = spark.sql("select 1 as a, 2 as a, 3 as b")
    return {
        "columns": df.columns,
        "show": env.printed(df.show),
        "rows": env.rows(df),
        "select": env.error(lambda: df.select("a").collect()),
        "select b": env.rows(df.select("b")),
        "drop": env.schema(df.drop("a")),
        "write": env.error(lambda: df.write.json(env.path("out"))),
        "struct": env.attempt(lambda: env.rows(df.selectExpr("struct(*) as s"))),
        "case": env.attempt(lambda: env.schema(spark.sql("select 1 as a, 2 as A")))
    }
