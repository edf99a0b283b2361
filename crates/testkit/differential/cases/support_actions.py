"""What may be done with a streaming DataFrame besides starting it."""

from harness import case

EVENT = "ts timestamp, k string, v int"


@case(client_specific=True, timeout_seconds=60)
def actions_on_streams(spark, env):
    env.write("in/a.json", [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}])
    stream, table = env.events(EVENT), spark.createDataFrame([("a", 1)], "k string, x int")
    stream.createOrReplaceTempView("s")
    attempts = {
        "collect": lambda: stream.collect(),
        "show": lambda: stream.show(),
        "count": lambda: stream.count(),
        "take": lambda: stream.take(1),
        "first": lambda: stream.first(),
        "tail": lambda: stream.tail(1),
        "isEmpty": lambda: stream.isEmpty(),
        "of a join with a stream": lambda: table.join(stream, "k").collect(),
        "of a union with a stream": lambda: table.select("k").union(stream.select("k")).collect(),
        "of a view": lambda: spark.sql("select * from s").collect(),
        "write": lambda: stream.write.format("noop").mode("append").save(),
        "writeStream of a table": lambda: table.writeStream.format("noop").start(),
        "within watermark of a table": lambda: table.dropDuplicatesWithinWatermark(["k"]).collect(),
        "isStreaming": lambda: stream.isStreaming and not table.isStreaming,
        "schema": lambda: bool(stream.schema),
    }
    return {name: env.attempt(lambda: bool(action()) or "ok") for name, action in attempts.items()}


@case(timeout_seconds=60)
def sql_distinct(spark, env):
    """`SELECT DISTINCT` is an aggregation, `distinct()` is not."""
    from harness.streams import outcomes

    env.write("in/a.json", [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}])
    env.events(EVENT).createOrReplaceTempView("s")
    env.events(EVENT).withWatermark("ts", "10 minutes").createOrReplaceTempView("w")
    statements = [
        "select distinct k from s", "select distinct ts from w", "select distinct k from w",
        "select k from s union select k from s", "select ts from w union select ts from w",
        "select k, count(*) as n from s group by k having n > 0", "select k from s group by k",
        "select distinct window(ts, '10 minutes') as t from w", "select count(distinct k) from s",
        "select * from s order by v", "select * from s limit 1", "select * from s limit 1 offset 1",
        "select * from s tablesample (10 percent)", "select k from s intersect select k from s",
        "select k from s except select k from s", "select * from s where v in (1, 2)",
    ]
    return {statement: env.attempt(lambda: outcomes(env, spark.sql(statement))) for statement in statements}
