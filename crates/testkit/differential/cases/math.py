"""Arithmetic: types of results, overflow, division by zero, rounding; ANSI on and off."""

from harness import case

NUMBERS = (
    "select * from values (7, 2L, 2.5D, cast(1.25 as decimal(5,2))), "
    "(-7, -3L, -0.5D, cast(-99.99 as decimal(5,2))), (0, 0L, 0.0D, cast(0 as decimal(5,2))), "
    "(null, null, null, null), (2147483647, 9223372036854775807L, 1e300D, cast(999.99 as decimal(5,2))) "
    "as t(i, l, d, m)"
)


@case
def operators(spark, env):
    return env.evaluate(
        spark.sql(NUMBERS).where("i between -10 and 10 or i is null"), [
            "i + 1", "i - l", "i * 2", "i / 2", "i / 2L", "i % 3", "-i", "+i", "i div 2", "mod(i, 3)",
            "pmod(i, 3)", "pmod(-7, -3)", "i & 3", "i | 8", "i ^ 5", "~i", "shiftleft(i, 2)",
            "shiftright(i, 1)", "shiftrightunsigned(i, 28)", "i << 2", "i + 1.5", "i * 1.5D", "l + d",
            "m + i", "m * m", "m / 3", "m % 2", "m - 0.001", "cast(i as tinyint) + cast(1 as smallint)",
            "i + '1'", "i = '7'", "abs(i)", "sign(i)", "signum(d)", "negative(i)", "positive(d)"
        ]
    )


@case
def overflow_ansi(spark, env):
    return env.evaluate(
        spark.sql(NUMBERS).where("i > 1000"), [
            "i + 1", "i * 2", "-i - 2", "abs(-i - 1)", "l + 1", "l * 2", "l - -1", "-(-l - 1)",
            "cast(l as int)", "cast(d as int)", "cast(d as long)", "cast(300 as tinyint)", "d * 1e10 * 1e10",
            "m * 1000000000000000000000000000000000000.0", "cast(m as decimal(3,1))", "sum(i)", "sum(l + 0)",
            "sum(l * 2)", "try_add(i, 1)", "try_multiply(l, 2)", "try_subtract(-i, 10)", "factorial(21)",
            "factorial(20)", "bround(i, -10)", "div(-9223372036854775808L, -1L)", "cast(m * 100 as tinyint)"
        ]
    )


@case
def overflow_not_ansi(spark, env):
    spark.conf.set("spark.sql.ansi.enabled", "false")
    return env.evaluate(
        spark.sql(NUMBERS).where("i > 1000"), [
            "i + 1", "i * 2", "-i - 2", "l + 1", "l * 2", "cast(l as int)", "cast(d as int)",
            "cast(d as long)", "cast(300 as tinyint)", "cast(-1 as tinyint)", "cast(m as decimal(3,1))",
            "sum(l * 2)", "abs(-i - 1)", "m * 1000000000000000000000000000000000000.0",
            "cast(1e40D as decimal(38,0))", "cast(40000 as smallint)", "cast(3e9 as int)",
            "cast(cast('NaN' as double) as int)"
        ]
    )


@case
def division_by_zero(spark, env):
    expressions = [
        "i / 0", "d / 0", "i % 0", "mod(i, 0)", "pmod(i, 0)", "i div 0", "m / 0", "0 / 0", "0.0D / 0.0D",
        "try_divide(i, 0)", "try_mod(i, 0)", "i / l", "i / nullif(l, 0)"
    ]
    ansi = env.evaluate(spark.sql(NUMBERS), expressions)
    spark.conf.set("spark.sql.ansi.enabled", "false")
    return {"ansi": ansi, "not ansi": env.evaluate(spark.sql(NUMBERS), expressions)}


@case
def rounding(spark, env):
    return env.evaluate(
        spark.sql(
            (
                "select * from values (2.5D, 2.345), (-2.5D, -2.345), (3.5D, 1.005), (0.15D, 99.995), "
                "(-0.4D, 0.000), (null, null) as t(d, m)"
            )
        ), [
            "round(d)", "round(d, 1)", "round(m, 2)", "round(m)", "bround(d)", "bround(m, 2)", "ceil(d)",
            "floor(d)", "ceil(m)", "floor(m)", "ceil(m, 1)", "floor(m, 1)", "rint(d)", "round(1234, -2)",
            "round(1250, -2)", "bround(1250, -2)", "trunc(1)", "cast(d as int)", "cast(m as int)",
            "round(m, -1)"
        ]
    )


@case
def functions_of_reals(spark, env):
    r = lambda e: f"round({e}, 12)"
    return env.evaluate(
        spark.sql(
            (
                "select * from values (0.5D), (-2.0D), (0.0D), (null), (cast('NaN' as double)), "
                "(cast('Infinity' as double)) as t(d)"
            )
        ), [
            "sqrt(d)",
            r("exp(d)"),
            r("ln(d)"),
            r("log(2, d)"),
            r("log10(d)"),
            r("log2(d)"),
            r("log1p(d)"),
            r("expm1(d)"),
            r("pow(d, 3)"),
            r("power(2, d)"),
            r("cbrt(d)"),
            r("sin(d)"),
            r("cos(d)"),
            r("tan(d)"),
            r("asin(d)"),
            r("acos(d)"),
            r("atan(d)"),
            r("atan2(d, 1)"),
            r("sinh(d)"),
            r("cosh(d)"),
            r("tanh(d)"),
            r("degrees(d)"),
            r("radians(d)"),
            r("hypot(d, 3)"), "isnan(d)", "nanvl(d, 7)", "d = d", "d > 1e308D", "d <=> cast('NaN' as double)",
            r("pi()"),
            r("e()"), "width_bucket(d, 0, 1, 4)", "positive(d)"
        ]
    )


@case
def whole_number_functions(spark, env):
    return env.evaluate(
        spark.sql("select * from values (10), (-3), (0), (null) as t(i)"), [
            "factorial(abs(i) % 6)", "bit_count(i)", "greatest(i, 1, null)", "least(i, 1)", "bit_get(i, 0)",
            "getbit(i, 1)", "i between 0 and 10", "i in (10, 0)", "i not in (10, null)", "i <=> null",
            "nullif(i, 0)", "if(i > 0, 'p', 'n')", "case i when 10 then 'ten' when 0 then 'zero' end",
            "case when i > 0 then 1 when i < 0 then 2.5 else '3' end", "ifnull(i, 5)", "nvl2(i, 1, 2)",
            "coalesce(i, 1.5)", "coalesce(null, null)", "greatest(i)", "zeroifnull(i)", "nullifzero(i)",
            "sequence(1, abs(i) % 5)", "uniform(1, 1)"
        ]
    )


@case
def decimal_precision(spark, env):
    """Types of decimal results: digits of sums, products, quotients, and what is cut at 38."""
    return env.evaluate(
        spark.sql(
            (
                "select cast(123.45 as decimal(10,2)) as a, cast(6.789 as decimal(8,3)) as b, "
                "cast(99999999999999999999.123456 as decimal(38,18)) as w, 5 as i, 7L as l"
            )
        ), [
            "a + b", "a - b", "a * b", "a / b", "a % b", "a + i", "a * l", "a / i", "w + w", "w * w", "w / w",
            "w * a", "w / a", "1.0 / 3", "1 / 3.00", "2.5 + 1", "1.10 * 2.20", "a + 1.5D",
            "a * cast(2 as float)", "sum(a)", "avg(a)", "sum(w)", "avg(w)", "round(a, 1)", "round(w, 5)",
            "ceil(a)", "floor(a)", "abs(a)", "-a", "cast(a as decimal(4,1))", "cast(a as int)",
            "cast(a as string)", "1e2", "1.50", "100BD", ".5", "12345678901234567890", "greatest(a, b)",
            "coalesce(a, i)", "a = b", "a > 5", "max(a)", "a div 7", "pmod(a, 7)",
            "cast(cast(1e-7 as decimal(10,8)) as string)", "cast('1e3' as decimal(10,2))", "0.00001",
            "cast(0.0000001 as string)", "cast(cast(1 as decimal(38,18)) as string)"
        ]
    )
