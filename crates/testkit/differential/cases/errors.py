"""What users see when a program is wrong."""

from pyspark.sql import functions as F

from harness import case

EVENT = "ts timestamp, k string, v int"


@case(client_specific=True)
def unresolved_columns(spark, env):
    df = spark.createDataFrame([(1, "x", 2)], "id int, name string, nama int")
    df.createOrReplaceTempView("t")
    attempts = {
        "select": lambda: df.select("nme"),
        "far off": lambda: df.select("zzzzzz"),
        "where": lambda: df.where("idd = 1"),
        "sql": lambda: spark.sql("select nam from t"),
        "sql qualified": lambda: spark.sql("select t.nope from t"),
        "struct field": lambda: df.select(F.struct("id").alias("s")).select("s.idd"),
        "groupBy": lambda: df.groupBy("nope").count(),
        "agg": lambda: df.groupBy("id").agg(F.sum("valeu")),
        "orderBy": lambda: df.orderBy("nope"),
        "join using": lambda: df.join(df, "nope"),
        "attribute": lambda: df.select(df.nope),
        "item": lambda: df.select(df["nope"]),
        "no columns": lambda: spark.range(1).drop("id").select("x"),
        "withColumn": lambda: df.withColumn("x",
                                            F.col("nope") + 1),
        "drop is silent": lambda: df.drop("nope"),
        "explode": lambda: df.select(F.explode("nope")),
        "map key": lambda: df.select(F.create_map(F.lit("a"), "id").alias("m")).select("m.a", "m.b"),
        "case sensitive": lambda: df.select("ID", "Name"),
        "dotted": lambda: df.select("name.first"),
        "backticks": lambda: df.select("`id`", "`no.pe`"),
    }
    return {name: env.attempt(lambda: build().columns) for name, build in attempts.items()}


@case
def unresolved_functions_and_tables(spark, env):
    df = spark.range(1)
    return {
        "function": env.error(lambda: df.selectExpr("uper('x')").schema),
        "argument count": env.error(lambda: df.selectExpr("substring('x')").schema),
        "argument type": env.error(lambda: df.selectExpr("explode(1)").schema),
        "call_function": env.error(lambda: df.select(F.call_function("nope", "id")).schema),
        "table": env.error(lambda: spark.table("nope").schema),
        "sql table": env.error(lambda: spark.sql("select * from db.nope").schema),
        "stream table": env.error(lambda: spark.readStream.table("nope").schema),
        "type": env.error(lambda: df.selectExpr("cast(id as nope)").schema),
        "cast": env.error(lambda: df.select(F.col("id").cast("array<int>")).schema),
        "schema text": env.error(lambda: spark.read.schema("a nope").json(env.directory("x")).schema),
        "schema syntax": env.error(lambda: spark.read.schema("a int b").json(env.directory("x")).schema),
        "comparison": env.error(lambda: df.where(F.array("id") > 1).schema),
        "filter type": env.error(lambda: df.where(F.col("id")).schema)
    }


@case
def aggregates_misused(spark, env):
    df = spark.createDataFrame([(1, "a")], "i int, s string")
    df.createOrReplaceTempView("t")
    queries = [
        "select i, count(*) from t", "select i from t group by s", "select * from t group by s",
        "select sum(sum(i)) from t", "select i from t where sum(i) > 1", "select i from t having i > 1",
        "select count(i) from t group by count(i)", "select s, i + 1, sum(i) from t group by s",
        "select sum(s) from t", "select s from t order by sum(i)",
        "select first(i) over () from t group by s", "select row_number() from t",
        "select rank(i) over (order by i) from t",
        "select sum(i) over (order by i rows between current row and 1 preceding) from t",
        "select max(array(i)), max(map(1, 2)) from t", "select i from t group by 3",
        "select * from t order by map(1, 2)", "select explode(array(1)), explode(array(2)) from t",
        "select sum(explode(array(1))) from t"
    ]
    return {q: env.attempt(lambda: env.rows(spark.sql(q))) for q in queries}


@case
def streams_read_as_batches(spark, env):
    df = env.events(EVENT)
    static = spark.createDataFrame([(1, )], "a int")
    return {
        "show": env.error(df.show),
        "collect": env.error(df.collect),
        "count": env.error(df.count),
        "take": env.error(lambda: df.take(1)),
        "write": env.error(lambda: df.write.json(env.path("out"))),
        "cache": env.error(lambda: df.cache().count()),
        "toPandas": env.error(df.toPandas),
        "aggregated": env.error(lambda: df.groupBy("k").count().collect()),
        "writeStream of a batch": env.error(lambda: static.writeStream.format("noop").start()),
        "isEmpty": env.error(df.isEmpty),
        "describe": env.error(lambda: df.describe().collect()),
        "foreach subquery": env.
        error(lambda: static.where(F.col("a").isin([1])).join(df, F.lit(True)).collect()),
        "stream in subquery": stream_in_subquery(spark, env, df)
    }


def stream_in_subquery(spark, env, df):
    df.createOrReplaceTempView("events")
    return env.error(lambda: spark.sql("select 1 where 1 in (select v from events)").collect())


@case
def starting_wrongly(spark, env):
    df = env.events(EVENT)
    writer = lambda: df.writeStream
    chk = env.path("chk")
    return {
        "no checkpoint": env.error(lambda: writer().format("json").option("path", env.path("o")).start()),
        "no path": env.error(lambda: writer().format("json").option("checkpointLocation", chk).start()),
        "memory without a name": env.error(lambda: writer().format("memory").start()),
        "unknown sink": env.error(lambda: writer().format("nope").start()),
        "kafka": env.error(lambda: writer().format("kafka").option("checkpointLocation", chk).start()),
        "rate sink": env.error(lambda: writer().format("rate").option("checkpointLocation", chk).start()),
        "text of two columns": env.attempt(
            lambda: run_to_end(
                writer().format("text").option("path", env.path("t")).option("checkpointLocation", chk + "t")
            )
        ),
        "partitionBy unknown": env.attempt(
            lambda: run_to_end(
                writer().format("json").partitionBy("zz").option("path", env.path("p")).
                option("checkpointLocation", chk + "p")
            )
        ),
        "partitionBy everything": env.attempt(
            lambda: run_to_end(
                writer().format("json").partitionBy("ts", "k", "v").option("path", env.path("q")).
                option("checkpointLocation", chk + "q")
            )
        ),
        "empty queryName": env.error(lambda: writer().queryName("")),
    }


def run_to_end(writer):
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    return "ran"


@case(client_specific=True)
def triggers_refused(spark, env):
    df = env.events(EVENT)
    start = lambda **t: df.writeStream.format("noop").trigger(**t).start()
    return {
        str(t): env.error(lambda: start(**t))
        for t in (
            {
                "processingTime": "soon"
            }, {
                "processingTime": "-1 second"
            }, {
                "processingTime": "1 month"
            }, {
                "processingTime": ""
            }, {
                "processingTime": "5 seconds",
                "once": True
            }, {}, {
                "once": False
            }, {
                "availableNow": False
            }, {"continuous": "1 second"}, {"continuous": "soon"}, {"processingTime": 5}
        )
    }


@case
def triggers_accepted(spark, env):
    df = env.events(EVENT)
    told = {}
    for t in ({"processingTime": "0 seconds"}, {"processingTime": "1 minute"},
              {"processingTime": "interval 10 seconds"}, {"processingTime": "1 hour 30 minutes"
                                                          }, {"once": True}, {"availableNow": True}):

        def run():
            query = df.writeStream.format("noop").trigger(**t).start()
            active = query.isActive if "processingTime" in t else None
            query.stop()
            return {"active": active}

        told[str(t)] = env.attempt(run)
    return told


@case
def errors_in_the_middle_of_a_stream(spark, env):
    """A division by zero in the second batch: what the query then reports."""
    query = env.start(env.events("v int").selectExpr("10 / v as q"))
    env.write("in/1.json", [{"v": 5}])
    query.processAllAvailable()
    env.write("in/2.json", [{"v": 0}])
    raised = env.error(query.processAllAvailable)
    failure = query.exception()
    text = str(failure).split("\n")
    return {
        "raised": raised,
        "awaitTermination": env.error(query.awaitTermination),
        "active": query.isActive,
        "rows": env.rows(spark.table(query.name)),
        "status": query.status["message"].split("\n")[0][:40],
        "exception": type(failure).__name__,
        "names the cause": "[DIVIDE_BY_ZERO]" in text[0],
        "shows the fragment": text[1:3]
    }


@case
def data_errors_in_batch(spark, env):
    df = spark.createDataFrame([("abc", 0)], "s string, z int")
    return env.evaluate(
        df, [
            "int(s)", "1 / z", "array(1)[z + 1]", "element_at(map('a', 1), s)", "date(s)",
            "assert_true(z = 1)", "raise_error(s)", "from_json(s, 'a int', map('mode', 'FAILFAST'))",
            "to_number(s, '99')", "conv(s, 99, 10)", "map_from_arrays(array(s, s), array(1, 2))",
            "aes_encrypt(s, 'short')", "make_date(2024, 13, 1)", "(select explode(array(1, 2)))",
            "repeat(s, -1)", "unhex('G')", "cast(s as decimal(3,1))", "cast(123.45 as decimal(3,1))"
        ]
    )


@case
def configuration(spark, env):
    told = {
        "unknown": env.error(lambda: spark.conf.get("spark.nope")),
        "unknown with default": spark.conf.get("spark.nope", "d"),
        "static": env.error(lambda: spark.conf.set("spark.sql.warehouse.dir", "/x")),
        "not boolean": env.error(lambda: spark.conf.set("spark.sql.ansi.enabled", "maybe")),
        "not a number": env.error(lambda: spark.conf.set("spark.sql.shuffle.partitions", "many")),
        "not positive": env.error(lambda: spark.conf.set("spark.sql.shuffle.partitions", "0")),
        "own": (spark.conf.set("my.own", "1"), spark.conf.get("my.own"))[1],
        "modifiable": [
            spark.conf.isModifiable(k)
            for k in ("spark.sql.shuffle.partitions", "spark.sql.warehouse.dir", "spark.nope")
        ],
        "bool text": (
            spark.conf.set("spark.sql.ansi.enabled", False), spark.conf.get("spark.sql.ansi.enabled")
        )[1],
        "zone": env.error(lambda: spark.conf.set("spark.sql.session.timeZone", "Mars/Phobos")),
    }
    spark.conf.unset("my.own")
    told["unset"] = env.error(lambda: spark.conf.get("my.own"))
    told["defaults"] = {
        k: spark.conf.get(k)
        for k in (
            "spark.sql.streaming.schemaInference", "spark.sql.streaming.noDataMicroBatches.enabled",
            "spark.sql.streaming.multipleWatermarkPolicy", "spark.sql.streaming.minBatchesToRetain",
            "spark.sql.streaming.numRecentProgressUpdates", "spark.sql.streaming.stopTimeout",
            "spark.sql.timestampType", "spark.sql.sources.default", "spark.sql.caseSensitive"
        )
    }
    return told


@case
def broken_statements(spark, env):
    """At which word a statement stops making sense, and what would have been there."""
    spark.createDataFrame([(1,)], "i int").createOrReplaceTempView("t")
    statements = [
        "", "select", "selec i from t", "select (i from t", "select i from t where i =", "select i from t group i",
        "select i fro t", "select * from t t2 t3", "select 'abc", "select `a", "select @", "select 1 +",
        "select cast(1 as)", "select i from t join on i=i", "select i from t; select 1", "select 1 2 3",
        "with c as select 1", "select i from (select i from t", "select i from t)", "select 1 = = 2",
        "select 1 between 2", "values (1", "drop", "select map(", "select i -- c\nfrom t wher i",
        "select i from t where i in ()", "select cast(i as decimal(3, 5)) from t", "insert t values (1)",
        "create tabl x (a int)"
    ]
    return {s: env.error(lambda: spark.sql(s).schema) for s in statements}


@case
def what_cannot_be_added_up(spark, env):
    arguments = ("array(1)", "map(1, 2)", "struct(1)", "true", "date'2020-01-01'", "x'00'")
    calls = [f"{f}({a})" for f in ("sum", "avg", "try_sum", "stddev", "bit_and", "max", "collect_set") for a in arguments]
    return env.queries([f"select {call}" for call in calls])


@case(timeout_seconds=60)
def places_of_errors(spark, env):
    """Some errors of expressions tell their place in the statement, and some do not."""
    expressions = [
        "raise_error('boom')", "assert_true(1 = 2)", "to_timestamp('x', 'yyyy')", "to_date('x', 'yyyy-MM-dd')",
        "unix_timestamp('x', 'yyyy')", "cast('x' as int)", "cast('x' as timestamp)", "1 / 0", "1 % 0",
        "2147483647 + 1", "array(1)[4]", "element_at(array(1), 5)", "make_date(2020, 13, 1)",
        "make_interval(2147483647, 1)", "to_number('x', '999')", "abs(-2147483648)", "-(-2147483648)",
        "cast(300 as tinyint)", "cast(99999 as decimal(3, 1))", "next_day('2020-01-01', 'zz')",
        "elt(5, 'a', 'b')", "to_binary('zz', 'hex')", "parse_url('ht tp://x', 'HOST')",
        "date_format(timestamp'2020-01-01', 'bogus')", "sequence(1, 5, -1)", "array_insert(array(1), 0, 1)",
        "decode(x'ff', 'bogus')", "from_utc_timestamp('2020-01-01', 'zz')", "map(1, 2, 1, 3)",
        "map_from_arrays(array(1), array(1, 2))", "split_part('a', 'b', 0)", "regexp_extract('a', '(', 1)",
        "'a' rlike '('", "bit_get(1, 99)", "mod(1, 0)", "1 div 0"
    ]

    def places(expression):
        try:
            spark.sql(f"select {expression}").collect()
        except Exception as e:
            return [context.fragment() for context in e.getQueryContext()]
        return "no error"

    return {expression: places(expression) for expression in expressions}
