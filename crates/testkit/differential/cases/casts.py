"""Casts between every pair of types users meet; ANSI on, ANSI off, and try_cast."""

from harness import case

TEXTS = [
    "1", " 12 ", "-0", "+5", "1.5", "1e3", "1e400", "9999999999", "99999999999999999999", "0x1F", "1_000",
    "1L", "", " ", "abc", "NaN", "inf", "-Infinity", "true", "T", "yes", "n", "0", "off", "null",
    "2024-01-02", "2024-1-2", "2024-01", "2024", "2024-02-30", "2024-01-02 03:04:05",
    "2024-01-02T03:04:05.123456789Z", "2024-01-02 03:04:05+05:30", "2024-01-02 24:00:00", "2024-01-02 3:4:5",
    "2024-01-02 03:04", "2024-01-02 03", "2024-01-02 03:04:05 America/New_York", "2024-01-02T", "epoch",
    "02/01/2024", "10000-01-01", "-2024-01-01", "1 day", "①"
]


@case
def text_to_numbers(spark, env):
    df = spark.createDataFrame([(t, ) for t in TEXTS], "t string").coalesce(1)
    types = ["tinyint", "int", "bigint", "float", "double", "decimal(10,2)", "decimal(38,18)", "boolean"]
    return {
        t: [
            [x, y] for x, y in env.rows(df.selectExpr("t", f"try_cast(t as {t})"), ordered=True)
            if y is not None
        ]
        for t in types
    }


@case
def text_to_times(spark, env):
    df = spark.createDataFrame([(t, ) for t in TEXTS], "t string").coalesce(1)
    types = ["date", "timestamp", "timestamp_ntz", "interval day to second", "binary"]
    return {
        t: [
            [x, y]
            for x, y in env.rows(df.selectExpr("t", f"cast(try_cast(t as {t}) as string)"), ordered=True)
            if y is not None
        ]
        for t in types
    }


@case
def invalid_text_ansi(spark, env):
    df = spark.createDataFrame([("abc", )], "t string")
    return env.evaluate(
        df, [
            f"cast(t as {t})" for t in (
                "int", "bigint", "double", "decimal(5,2)", "boolean", "date", "timestamp", "timestamp_ntz",
                "interval day to second"
            )
        ] + ["t + 1", "t = 1", "int(t)", "date(t)", "t < 5", "if(t, 1, 2)"]
    )


@case
def invalid_text_not_ansi(spark, env):
    spark.conf.set("spark.sql.ansi.enabled", "false")
    df = spark.createDataFrame(
        [(t, ) for t in ("abc", "1.9", " 7 ", "2024-01-02", "9999999999")], "t string"
    ).coalesce(1)
    return env.evaluate(
        df, [
            f"cast(t as {t})"
            for t in ("int", "bigint", "double", "decimal(5,2)", "boolean", "date", "timestamp")
        ] + ["t + 1", "t = 1", "t < 5", "t = 1.9", "concat(t, 1)"]
    )


@case
def numbers_to_everything(spark, env):
    df = spark.sql(
        (
            "select * from values (1, 1.9D, 2.567), (-1, -1.9D, -2.5), (0, 0.0D, 0.0), (300, 1e20D, "
            "99999.5), (null, null, null), (65, cast('NaN' as double), 1.0) as t(i, d, m)"
        )
    )
    return {
        target: env.evaluate(df.where(keep), [f"try_cast({c} as {target})" for c in ("i", "d", "m")])
        for target, keep in [
            ("tinyint", "true"), ("int", "true"), ("bigint", "true"), ("float", "true"), ("double", "true"),
            ("decimal(5,1)",
             "true"), ("string", "true"), ("boolean",
                                           "true"), ("timestamp",
                                                     "i < 400 and d < 1000"), ("date",
                                                                               "true"), ("binary", "true")
        ]
    }


@case
def numbers_to_text(spark, env):
    df = spark.sql("select 1 as one")
    return env.evaluate(
        df, [
            f"cast({e} as string)" for e in (
                "1.0D", "100.0D", "1e7D", "9999999.0D", "1e-3D", "1e-4D", "123456789.123D", "1.1f", "1e10f",
                "0.1f + 0.2f", "0.1D + 0.2D", "-0.0D", "1e21D", "double('inf')", "1.50", "1e3BD",
                "100000000000000000000.0", "0.0000001BD", "true", "X'4142'", "array(1, null, 2)",
                "array('a', null)", "map('k', 1, 'j', null)", "named_struct('a', 1, 'b', 'x')",
                "struct(1, null)", "array(1.5D)", "date'2024-01-02'", "timestamp'2024-01-02 03:04:05'",
                "timestamp'2024-01-02 03:04:05.120'", "timestamp'2024-01-02 03:04:05.123456'",
                "timestamp_ntz'2024-01-02 03:04:05'", "interval 1 day 2 hours",
                "interval '1-2' year to month", "interval 90 minutes", "date'0001-01-01'",
                "date'12345-01-01'", "1.17549435e-38f", "4.9e-324D", "1.7976931348623157e308D",
                "3.4028235e38f"
            )
        ]
    )


@case
def times_to_everything(spark, env):
    df = spark.sql(
        (
            "select timestamp'2024-01-02 03:04:05.678901' as ts, date'2024-01-02' as d, "
            "timestamp_ntz'2024-01-02 03:04:05.678901' as n, timestamp'1969-12-31 23:59:59.5' as old, "
            "interval 1 day 2 hours 3.5 seconds as iv, interval 14 months as ym"
        )
    )
    return env.evaluate(
        df, [
            f"cast({c} as {t})" for c, t in [
                ("ts", "date"), ("ts", "bigint"), ("ts", "int"), ("ts", "double"), ("ts", "decimal(20,6)"),
                ("ts", "timestamp_ntz"), ("ts", "boolean"), ("ts", "string"), ("old",
                                                                               "bigint"), ("old", "double"),
                ("old", "date"), ("d", "timestamp"), ("d", "timestamp_ntz"), ("d", "int"), ("d", "string"),
                ("n", "timestamp"), ("n", "date"), ("n", "bigint"), ("iv", "string"), ("ym", "string"),
                ("ym", "int"), ("iv", "bigint"), ("1700000000", "timestamp"), ("1700000000.5D", "timestamp"),
                ("1700000000.123456", "timestamp"), ("-1", "timestamp"), ("true", "timestamp"), ("1", "date")
            ]
        ]
    )


@case
def booleans(spark, env):
    df = spark.sql("select * from values (true), (false), (null) as t(b)")
    return env.evaluate(
        df, [
            "cast(b as int)", "cast(b as string)", "cast(b as double)", "cast(b as decimal(3,1))",
            "b and null", "b or null", "not b", "b = 'true'", "b = 1", "b <=> null", "b and true",
            "b xor true", "b is true", "b is not false", "b is unknown", "b + 1", "int(b)", "b > false",
            "max(b)", "if(b, 1, 0)"
        ]
    )


@case
def null_semantics(spark, env):
    df = spark.sql("select * from values (1, 2), (1, 1), (1, null), (null, null) as t(a, b)")
    return env.evaluate(
        df, [
            "a = b", "a <=> b", "a != b", "a <> b", "not (a <=> b)", "a < b", "a in (1, null)",
            "a in (2, null)", "a not in (2, null)", "a not in (1, null)", "b between 1 and null", "a is null",
            "a + b", "coalesce(b, a, 0)", "nullif(a, b)", "isnull(b)", "isnotnull(b)",
            "array(a, b) = array(1, null)", "struct(a, b) = struct(1, null)",
            "struct(a, b) <=> struct(1, null)", "greatest(a, b)", "a = null", "null = null", "null <=> null",
            "case when b then 1 end", "case when b > 1 then 'x' else null end", "concat(a, b)", "a || null",
            "any_value(b)", "count(b)", "count(*)", "sum(b)", "count_if(b = 1)", "every(b > 0)"
        ]
    )


@case
def nested_casts(spark, env):
    df = spark.sql(
        "select array('1', 'x', null) as a, map('1', '2') as m, named_struct('p', '1', 'q', 2) as s"
    )
    return env.evaluate(
        df, [
            "try_cast(a as array<int>)", "cast(a as array<int>)", "cast(m as map<int,int>)",
            "cast(s as struct<x:int,y:string>)", "cast(s as struct<x:int>)", "cast(a as string)",
            "cast(s as map<string,int>)", "cast(a as int)", "cast(m as array<int>)"
        ]
    )


@case
def implicit_conversions(spark, env):
    """Types that Spark finds for mixed operands, unions and branches."""
    df = spark.sql(
        (
            "select 1 as i, 2L as l, 1.5 as m, 2.5D as d, '3' as s, true as b, date'2024-01-02' as day, "
            "timestamp'2024-01-02 03:04:05' as ts"
        )
    )
    return env.evaluate(
        df, [
            "i + l", "i + m", "l + m", "i + d", "m + d", "i + s", "s + s", "d + s", "m + s", "s || i",
            "b + i", "day + 1", "day + i", "day - 1", "ts + 1", "day - day", "ts - ts", "ts - day",
            "day = '2024-01-02'", "day < ts", "ts > '2024-01-01'", "s = i", "s > 2", "i = 1.0", "b = s",
            "s in (1, 3)", "i in ('1', '2')", "coalesce(i, s)", "coalesce(i, m)", "if(b, i, s)",
            "if(b, day, ts)", "case when b then i else d end", "array(i, m, d)", "array(i, s)",
            "array(i, day)", "map(i, s, d, s)", "greatest(i, m)", "i like '1'", "concat(i, b)",
            "substring(12345, 2, 3)", "length(12345)", "upper(true)", "round('2.567', 1)", "abs('-5')",
            "year('2024-05-06')", "date_add('2024-05-06', '3')", "sum(s)", "avg(s)", "i between '0' and '5'",
            "nullif(i, '1')"
        ]
    )
