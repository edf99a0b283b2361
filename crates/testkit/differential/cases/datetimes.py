"""Dates, timestamps and intervals: Java patterns, session time zones, DST, calendar arithmetic."""

from harness import case

TIMES = (
    "select cast(t as timestamp) as ts, cast(d as date) as d, t from values ('2024-02-29 13:04:05.678901', "
    "'2024-02-29'), ('1969-12-31 23:59:59.5', '1969-12-31'), ('2024-12-31 00:00:00', '2024-12-31'), (null, "
    "null) as v(t, d)"
)


@case
def fields(spark, env):
    return env.evaluate(
        spark.sql(TIMES), [
            "year(ts)", "quarter(ts)", "month(ts)", "day(ts)", "dayofmonth(d)", "dayofweek(ts)",
            "weekday(ts)", "dayofyear(ts)", "weekofyear(ts)", "hour(ts)", "minute(ts)", "second(ts)",
            "dayname(d)", "monthname(d)", "hour('2024-01-02 05:06:07')", "extract(year from ts)",
            "extract(yearofweek from d)", "extract(week from ts)", "extract(dow from ts)",
            "extract(dow_iso from ts)", "extract(doy from ts)", "extract(second from ts)",
            "date_part('month', d)", "date_part('seconds', ts)", "datepart('hour', ts)",
            "extract(century from ts)", "extract(epoch from ts)"
        ]
    )


@case
def truncation(spark, env):
    units = [
        "year", "yyyy", "quarter", "mon", "MM", "week", "day", "dd", "hour", "minute", "second",
        "millisecond", "microsecond", "bogus"
    ]
    told = env.evaluate(spark.sql(TIMES), [f"date_trunc('{u}', ts)" for u in units])
    told.update(
        env.evaluate(
            spark.sql(TIMES),
            [f"trunc(d, '{u}')" for u in ("year", "quarter", "month", "week", "day", "bogus")]
        )
    )
    return told


@case
def calendar_arithmetic(spark, env):
    return env.evaluate(
        spark.sql(TIMES), [
            "date_add(d, 1)", "date_sub(d, 30)", "dateadd(month, 1, d)", "dateadd(hour, 25, ts)",
            "dateadd(d, 5)", "datediff(d, date'2024-01-01')", "datediff(month, d, ts)",
            "timestampdiff(hour, timestamp'2024-02-29 00:00:00', ts)", "timestampadd(week, 1, ts)",
            "add_months(d, 1)", "add_months(date'2024-01-31', 1)", "add_months(d, -12)",
            "months_between(ts, timestamp'2024-01-31 10:00:00')", "months_between(d, date'2024-01-31')",
            "months_between(ts, timestamp'2023-11-30', false)", "last_day(d)", "next_day(d, 'Mon')",
            "next_day(d, 'SUNDAY')", "next_day(d, 'xx')", "d + 7", "d - 7", "d - date'2024-01-01'",
            "ts - timestamp'2024-01-01 00:00:00'", "ts + interval 1 day", "ts - interval 90 minutes",
            "d + interval 1 month", "d + interval 1 hour", "ts + interval 1 month", "d - interval 1 year",
            "make_date(2024, 2, 30)", "make_date(2024, 2, 29)", "make_timestamp(2024, 2, 29, 13, 4, 5.6)",
            "make_timestamp(2024, 1, 1, 25, 0, 0)", "date_diff(d, d)", "weekday(d + 1)",
            "date_from_unix_date(19782)", "unix_date(d)"
        ]
    )


PATTERNS = [
    "yyyy-MM-dd", "yyyy-MM-dd HH:mm:ss", "dd/MM/yy", "d-M-y", "EEE, d MMM yyyy", "EEEE d MMMM", "hh:mm a",
    "KK:mm", "kk", "HH:mm:ss.SSS", "HH:mm:ss.SSSSSS", "ss.S", "yyyyMMdd", "yyyy-DDD", "D", "QQQ yyyy", "q",
    "MMMM", "LLL", "G yyyy", "XXX", "xx", "Z", "z", "VV", "O", "yyyy-MM-dd'T'HH:mm:ssXXX", "''yy''", "[yyyy]",
    "w", "YYYY", "u", "e", "E", "F", "a", "A", "n", "SSSSSSSSS", "yyyyy", "MMMMM", "dddd", "b", "yyyy年MM月",
    "{", "#"
]


@case
def date_format_patterns(spark, env):
    df = spark.sql("select timestamp'2024-03-05 15:04:05.678901' as ts")
    return env.evaluate(
        df, ["date_format(ts, '" + p.replace("'", "\\'") + "')"
             for p in PATTERNS] + ["date_format('2024-03-05', 'MMM')", "date_format(date'2024-03-05', 'HH')"]
    )


@case
def parsing_with_patterns(spark, env):
    pairs = [
        ("2019-02-05 10:05:00", "yyyy-MM-dd HH:mm:ss"), ("05/02/2019", "dd/MM/yyyy"),
        ("5/2/2019", "dd/MM/yyyy"), ("5/2/2019", "d/M/yyyy"), ("05-Feb-2019", "dd-MMM-yyyy"),
        ("05-feb-2019", "dd-MMM-yyyy"), ("20190205", "yyyyMMdd"), ("20190205101500", "yyyyMMddHHmmss"),
        ("2019-02-05T10:05:00+02:00", "yyyy-MM-dd'T'HH:mm:ssXXX"),
        ("2019-02-05T10:05:00Z", "yyyy-MM-dd'T'HH:mm:ssX"),
        ("2019-02-05 10:05:00.123", "yyyy-MM-dd HH:mm:ss.SSS"),
        ("2019-02-05 10:05:00.1", "yyyy-MM-dd HH:mm:ss.SSS"),
        ("2019-02-05 10:05:00.1", "yyyy-MM-dd HH:mm:ss[.SSS]"),
        ("2019-02-05 10:05:00", "yyyy-MM-dd HH:mm:ss[.SSS]"), ("03:15 PM", "hh:mm a"), ("10:05", "HH:mm"),
        ("2019", "yyyy"), ("2019-02", "yyyy-MM"), ("19", "yy"), ("2019-02-30", "yyyy-MM-dd"),
        ("2019-02-05", "yyyy-MM-dd HH:mm:ss"), ("2019-02-05 10:05:00", "yyyy-MM-dd"),
        ("2019-02-05 junk", "yyyy-MM-dd"), (" 2019-02-05", "yyyy-MM-dd"),
        ("Tue, 5 Feb 2019", "EEE, d MMM yyyy"), ("2019-036", "yyyy-DDD"), ("1549361100", "s"), ("", "yyyy"),
        ("2019-02-05 America/New_York", "yyyy-MM-dd VV"), ("2019-02-05 EST", "yyyy-MM-dd z"),
        ("24:00", "HH:mm"), ("12 AM", "hh a"), ("2019Q1", "yyyy'Q'q")
    ]
    escape = lambda p: p.replace("'", "\\'")
    df = spark.range(1)
    return {
        "try_to_timestamp": env.evaluate(df, [f"try_to_timestamp('{t}', '{escape(p)}')" for t, p in pairs]),
        "to_timestamp": env.evaluate(
            df, [f"to_timestamp('{t}', '{escape(p)}')" for t, p in pairs[:6] + pairs[19:24]]
        ),
        "to_date": env.evaluate(df, [f"to_date('{t}', '{escape(p)}')" for t, p in pairs[:10] + pairs[19:23]]),
        "unix_timestamp": env.evaluate(
            df, [f"unix_timestamp('{t}', '{escape(p)}')" for t, p in pairs[:3] + pairs[19:21]]
        ),
    }


@case
def parsing_without_pattern(spark, env):
    texts = [
        "2024-01-02", "2024-01-02 03:04:05", "2024-1-2", "2024", "2024-01-02T03:04:05.5+01:00", "02/01/2024",
        "", "2024-01-02 03:04:05.123456789"
    ]
    return env.evaluate(
        spark.range(1), [
            f"{f}('{t}')" for f in ("to_timestamp", "to_date", "try_to_timestamp", "to_timestamp_ntz")
            for t in texts
        ]
    )


@case
def parsing_not_ansi(spark, env):
    spark.conf.set("spark.sql.ansi.enabled", "false")
    return env.evaluate(
        spark.range(1), [
            "to_timestamp('nope')", "to_timestamp('2019-02-30', 'yyyy-MM-dd')", "to_date('nope')",
            "unix_timestamp('nope')", "cast('nope' as date)", "make_date(2024, 2, 30)",
            "to_timestamp('1', 'bogus pattern b')", "next_day(date'2024-01-01', 'xx')"
        ]
    )


@case
def legacy_and_corrected_policy(spark, env):
    told = {}
    for policy in ("CORRECTED", "LEGACY", "EXCEPTION"):
        spark.conf.set("spark.sql.legacy.timeParserPolicy", policy)
        told[policy] = env.evaluate(
            spark.range(1), [
                "to_timestamp('5/2/2019', 'dd/MM/yyyy')", "to_timestamp('2019-02-05 10', 'yyyy-MM-dd')",
                "date_format(timestamp'2024-03-05 15:04:05', 'u')"
            ]
        )
    return told


READ_BOTH_WAYS = [
    ("2019-02-05", "yyyy-MM-dd"), ("2019-2-5", "yyyy-MM-dd"), ("19-2-5", "yy-MM-dd"), ("2019-02-30", "yyyy-MM-dd"),
    ("2019-02-05 10", "yyyy-MM-dd"), (" 2019-02-05", "yyyy-MM-dd"), ("2019- 2- 5", "yyyy-MM-dd"), 
    ("02019-02-05", "yyyy-MM-dd"), ("20190205", "yyyyMMdd"), ("2019025", "yyyyMMdd"),
    ("5/2/2019", "dd/MM/yyyy"), ("05/13/2019", "dd/MM/yyyy"), ("5 feb 2019", "d MMM yyyy"), ("5 FEBRUARY 2019", "d MMM yyyy"),
    ("5 Feb 2019", "d MMMM yyyy"), ("5 Febr 2019", "d MMM yyyy"), ("Tue, 5 Feb 2019", "EEE, d MMM yyyy"),
    ("Mon, 5 Feb 2019", "EEE, d MMM yyyy"), ("Tuesday 5 Feb 2019", "EEE d MMM yyyy"), ("Tue", "EEE"), ("Tue Feb 2019", "EEE MMM yyyy"),
    ("2 2019-02-05", "u yyyy-MM-dd"), ("3 2019-02-05", "u yyyy-MM-dd"), ("2019-36", "yyyy-DDD"), ("2019-036", "yyyy-DDD"),
    ("2019-02-05 24:00", "yyyy-MM-dd HH:mm"), ("2019-02-05 24:00", "yyyy-MM-dd kk:mm"), ("2019-02-05 23:60", "yyyy-MM-dd HH:mm"),
    ("2019-02-05 12:30 AM", "yyyy-MM-dd hh:mm a"), ("2019-02-05 12:30 pm", "yyyy-MM-dd hh:mm a"), ("2019-02-05 0:30 pm", "yyyy-MM-dd hh:mm a"),
    ("2019-02-05 13:30 am", "yyyy-MM-dd HH:mm a"), ("2019-02-05 1:30", "yyyy-MM-dd hh:mm"), ("2019-02-05 11:30 pm", "yyyy-MM-dd KK:mm a"),
    ("10:11:12.5", "HH:mm:ss.S"), ("10:11:12.123", "HH:mm:ss.SSS"), ("10:11:12.123456", "HH:mm:ss.SSSSSS"), ("10:11:12.1234", "HH:mm:ss.SSS"),
    ("10:11:12.5", "HH:mm:ss.SSS"), ("2019-02-05T10:11:12Z", "yyyy-MM-dd'T'HH:mm:ssX"), ("2019-02-05T10:11:12+01", "yyyy-MM-dd'T'HH:mm:ssX"),
    ("2019-02-05T10:11:12+0130", "yyyy-MM-dd'T'HH:mm:ssXX"), ("2019-02-05T10:11:12+01:30", "yyyy-MM-dd'T'HH:mm:ssXXX"),
    ("2019-02-05T10:11:12+0130", "yyyy-MM-dd'T'HH:mm:ssXXX"), ("2019-02-05T10:11:12+01:30", "yyyy-MM-dd'T'HH:mm:ssZ"),
    ("2019-02-05T10:11:12-0800", "yyyy-MM-dd'T'HH:mm:ssZ"), ("2019-02-05 10:11 GMT+02:00", "yyyy-MM-dd HH:mm z"),
    ("2019-02-05 10:11 PST", "yyyy-MM-dd HH:mm z"), ("2019-07-05 10:11 PDT", "yyyy-MM-dd HH:mm z"), ("2019-07-05 10:11 PST", "yyyy-MM-dd HH:mm z"),
    ("2019-02-05 10:11 UTC", "yyyy-MM-dd HH:mm z"), ("2019-02-05 10:11 Pacific Standard Time", "yyyy-MM-dd HH:mm zzzz"),
    ("2019-02-05 10:11 nowhere", "yyyy-MM-dd HH:mm z"), ("0-03-15", "yyyy-MM-dd"), ("1500-02-29", "yyyy-MM-dd"),
    ("20190205101112", "yyyyMMddHHmmss"), ("2019020510111", "yyyyMMddHHmmss"), ("2019-02-05 o'clock", "yyyy-MM-dd 'o''clock'"),
    ("2019-02-05x", "yyyy-MM-dd'y'"), ("", "yyyy"), ("   ", "yyyy"), ("2019", "yyyy"), ("19", "yyyy"), ("19", "y"), ("99", "yy"), ("2019", "yy"),
    ("Sept 2019", "MMM yyyy"), ("2019-02-05", "yyyy-LL-dd"), ("2019-02-05", "bogus"),
    ("2019-02-05", "yyyy-MM-dd[ HH]"), ("2019-02-05", "yyyy-MM-dd#"), ("2019-02-05 1", "yyyy-MM-dd XXXX"),
]
PRINTED_BOTH_WAYS = [
    "yyyy-MM-dd HH:mm:ss", "y", "yy", "yyy", "yyyyyy", "M", "MM", "MMM", "MMMM", "MMMMM", "L", "LLL", "LLLL", "d", "ddd", "D", "DDD", "E", "EEE",
    "EEEE", "EEEEE", "u", "uu", "a", "aa", "H", "HHH", "k", "K", "h", "hh", "m", "s", "S", "SS", "SSS", "SSSSSS", "z", "zzzz", "Z", "ZZZ", "ZZZZ",
    "X", "XX", "XXX", "XXXX", "G", "GGGG", "w", "ww", "W", "F", "Y", "YY", "'it''s' yyyy", "[yyyy]", "{yyyy}", "Q", "VV", "O", "B",
]


def under_policies(spark, env, expressions, zone="UTC"):
    """What each policy makes of the expressions; what all of them make the same is told once."""
    spark.conf.set("spark.sql.session.timeZone", zone)
    told = {}
    for policy in ("CORRECTED", "LEGACY", "EXCEPTION"):
        spark.conf.set("spark.sql.legacy.timeParserPolicy", policy)
        for expression, value in env.evaluate(spark.range(1), expressions).items():
            told.setdefault(expression, {})[policy] = value
    return told


def quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


@case(timeout_seconds=90)
def policies_of_reading(spark, env):
    return under_policies(spark, env, [f"to_timestamp({quoted(t)}, {quoted(p)})" for t, p in READ_BOTH_WAYS])


@case(timeout_seconds=90)
def policies_of_reading_in_new_york(spark, env):
    texts = [
        ("2024-03-10 02:30", "yyyy-MM-dd HH:mm"), ("2024-11-03 01:30", "yyyy-MM-dd HH:mm"), ("2024-11-03 01:30 EST", "yyyy-MM-dd HH:mm z"),
        ("2024-11-03 01:30 EDT", "yyyy-MM-dd HH:mm z"), ("2024-07-03 01:30", "yyyy-MM-dd HH:mm"), ("1850-01-01", "yyyy-MM-dd"),
        ("2024-07-03 01:30 Z", "yyyy-MM-dd HH:mm X"),
    ]
    return under_policies(
        spark, env, [f"cast(to_timestamp({quoted(t)}, {quoted(p)}) as long)" for t, p in texts], "America/New_York")


@case(timeout_seconds=90)
def policies_of_printing(spark, env):
    return under_policies(
        spark, env, [f"date_format(timestamp'2024-03-05 15:04:05.006789', {quoted(p)})" for p in PRINTED_BOTH_WAYS])


@case(timeout_seconds=90)
def policies_of_printing_elsewhere(spark, env):
    times = ["2024-07-05 00:04:05.6", "0044-03-15 12:00:00", "1500-02-28 00:00:00", "2024-12-31 23:59:59", "-0043-03-15 12:00:00"]
    patterns = ["yyyy-MM-dd HH:mm:ss.SSS z", "y G", "zzzz Z XXX X", "w W F Y u E", "hh K k a"]
    expressions = [f"date_format(timestamp'{t}', {quoted(p)})" for t in times for p in patterns]
    return under_policies(spark, env, expressions, "America/New_York")


@case(timeout_seconds=90)
def policies_of_the_other_functions(spark, env):
    text, pattern = "'5/2/2019 1:2'", "'dd/MM/yyyy HH:mm'"
    calls = ["to_date", "try_to_date", "try_to_timestamp", "to_timestamp_ltz", "to_timestamp_ntz", "unix_timestamp", "to_unix_timestamp"]
    expressions = [f"{f}({text}, {pattern})" for f in calls] + [f"{f}('nothing', {pattern})" for f in calls]
    expressions += [
        "from_unixtime(0, 'u yyyy')", "from_unixtime(1.5e9, 'yyyy-MM-dd EEEE')", "from_unixtime(-1)", "unix_timestamp('2019-2-5 1:2:3')",
        "to_timestamp('2019-2-5 1:2')", "to_date('2019-2-5')", "cast('2019-2-5' as date)", "date_format(date'2019-02-05', 'u')",
        "to_char(date'2019-02-05', 'u')", "to_varchar(timestamp'2019-02-05 00:00:00', 'YYYY')", "to_timestamp(null, 'u')", "to_timestamp('1', null)",
        "to_timestamp_ntz('2019-02-05 10', 'yyyy-MM-dd')", "date_format(timestamp_ntz'2019-02-05 10:00:00', 'u z')",
    ]
    told = {"ANSI": under_policies(spark, env, expressions)}
    spark.conf.set("spark.sql.ansi.enabled", "false")
    told["not ANSI"] = under_policies(spark, env, expressions)
    return told


@case
def policies_by_name(spark, env):
    told = {}
    for name in ("legacy", "Corrected", "exception", "other", ""):
        told[name] = env.attempt(lambda: spark.conf.set("spark.sql.legacy.timeParserPolicy", name))
        told[f"{name}, then"] = env.evaluate(spark.range(1), ["to_timestamp('5/2/2019', 'dd/MM/yyyy')"])
    return told


@case
def epochs(spark, env):
    return env.evaluate(
        spark.sql(TIMES), [
            "unix_timestamp(ts)", "unix_timestamp(d)", "to_unix_timestamp(ts)", "from_unixtime(0)",
            "from_unixtime(1700000000)", "from_unixtime(1700000000, 'yyyy/MM/dd HH')", "from_unixtime(-1)",
            "timestamp_seconds(1700000000)", "timestamp_seconds(1.5)", "timestamp_millis(1700000000123)",
            "timestamp_micros(-1)", "unix_seconds(ts)", "unix_millis(ts)", "unix_micros(ts)",
            "cast(ts as double)", "cast(1.5D as timestamp)", "from_unixtime(cast(ts as bigint))",
            "current_timestamp() > ts", "current_date() > d", "now() = current_timestamp()"
        ]
    )


@case
def session_zone_new_york(spark, env):
    """Spring forward on 2024-03-10, fall back on 2024-11-03."""
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    text = lambda e: f"cast({e} as string)"
    return env.evaluate(
        spark.range(1), [
            text(e) for e in (
                "timestamp'2024-03-10 02:30:00'", "timestamp'2024-03-10 01:59:59' + interval 1 second",
                "timestamp'2024-03-09 02:30:00' + interval 1 day",
                "timestamp'2024-03-09 02:30:00' + interval 24 hours", "timestamp'2024-11-03 01:30:00'",
                "timestamp'2024-11-03 00:30:00' + interval 1 hour",
                "timestamp'2024-11-03 00:30:00' + interval 2 hours",
                "to_timestamp('2024-11-03T01:30:00-05:00')",
                "date_trunc('day', timestamp'2024-03-10 12:00:00')",
                "date_trunc('hour', to_timestamp('2024-11-03T01:30:00-05:00'))", "from_unixtime(1710054000)",
                "unix_timestamp('2024-03-10 03:00:00')", "cast(date'2024-03-10' as timestamp)",
                "cast(timestamp'2024-03-10 23:00:00' as date)", "hour(to_timestamp('2024-03-10T07:00:00Z'))",
                "timestamp'2024-11-04 00:00:00' - timestamp'2024-11-03 00:00:00'",
                "to_utc_timestamp('2024-03-10 12:00:00', 'America/Los_Angeles')",
                "from_utc_timestamp('2024-03-10 12:00:00', 'Asia/Tokyo')",
                "convert_timezone('Europe/Paris', timestamp_ntz'2024-07-01 12:00:00')",
                "make_timestamp(2024, 3, 10, 2, 30, 0)",
                "date_format(timestamp'2024-07-04 12:00:00', 'yyyy-MM-dd HH:mm:ss z VV xxx')",
                "cast(timestamp_ntz'2024-03-10 02:30:00' as timestamp)",
                "datediff(timestamp'2024-03-11', timestamp'2024-03-10')",
                "timestampdiff(hour, timestamp'2024-03-10 00:00:00', timestamp'2024-03-11 00:00:00')",
                "current_timezone()",
                "months_between(timestamp'2024-03-31 00:00:00', timestamp'2024-03-10 00:00:00')",
                "timestamp'1883-11-18 12:00:00'", "timestamp'1800-01-01 00:00:00'",
                "unix_timestamp('1800-01-01 00:00:00')"
            )
        ]
    )


@case
def zone_names(spark, env):
    """Which texts are time zones."""
    zones = [
        "UTC", "GMT+2", "+05:30", "+5", "Z", "EST", "PST", "CET", "Europe/London", "europe/london", "UTC+1",
        "Mars/Phobos", ""
    ]

    def at(zone):
        spark.conf.set("spark.sql.session.timeZone", zone)
        return env.rows(spark.sql("select cast(timestamp_seconds(1720000000) as string)"))[0][0]

    told = {f"session {z}": env.attempt(lambda: at(z)) for z in zones}
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    told.update(
        env.evaluate(spark.range(1), [f"from_utc_timestamp('2024-07-01 00:00:00', '{z}')" for z in zones])
    )
    return told


@case
def intervals(spark, env):
    return env.evaluate(
        spark.sql(
            "select interval 1 day 2 hours 3 minutes 4.5 seconds as i, interval '2-3' year to month as ym, 3 as n"
        ), [
            "i", "i + i", "i * 2", "i / 2", "-i", "i * 1.5", "i > interval 1 day", "cast(ym as string)",
            "cast(ym + ym as string)", "cast(ym * 2 as string)", "cast(ym / 2 as string)",
            "extract(hour from i)", "extract(day from i)", "extract(second from i)", "extract(month from ym)",
            "make_dt_interval(1, 2, 3, 4.5)", "cast(make_ym_interval(1, 2) as string)",
            "cast(make_interval(1, 2, 3, 4, 5, 6, 7.5) as string)", "interval '1' day",
            "interval '1 2:3:4' day to second", "interval n days", "interval 1 month 1 day",
            "interval '-5' minute", "abs(interval '-5' minute)", "cast(interval 100 hours as string)",
            "cast(cast('1 day' as interval) as string)", "interval 1 week", "interval 1.5 hours",
            "interval 500 milliseconds", "i / 0", "interval 106751992 days",
            "timestamp'2024-01-31 00:00:00' + ym", "sum(i)", "avg(i)", "max(i)"
        ]
    )


@case
def sequences_of_times(spark, env):
    return env.evaluate(
        spark.range(1), [
            "sequence(date'2024-01-30', date'2024-02-02')",
            "sequence(date'2024-01-31', date'2024-05-31', interval 1 month)",
            "sequence(timestamp'2024-01-01 00:00:00', timestamp'2024-01-01 01:00:00', interval 20 minutes)",
            "sequence(date'2024-01-03', date'2024-01-01')", "sequence(1, 10, 3)", "sequence(5, 1)",
            "sequence(1, 5, -1)", "sequence(1, 5, 0)", "explode(sequence(1, 3))"
        ]
    )
