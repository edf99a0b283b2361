"""The generating sources. `rate` depends on the clock, so only its shape is compared."""

import json

from harness import case, streams


@case
def rate_micro_batch(spark, env):
    df = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", "3").option("numPartitions", "1") \
        .option("startTimestamp", "1000").option("advanceMillisPerBatch", "50").load()
    query = df.writeStream.format("memory").queryName("rmb").option("checkpointLocation",
                                                                    env.path("chk")).trigger(
                                                                        availableNow=True
                                                                    ).start()
    query.awaitTermination()
    told = [streams.ends(json.loads(p.json)) for p in query.recentProgress if "addBatch" in p["durationMs"]]
    return {
        "schema": env.schema(df, nullability=True),
        "rows": env.rows(spark.table("rmb")),
        "progress": told
    }


@case
def rate_micro_batch_goes_on_after_a_restart(spark, env):
    df = spark.readStream.format("rate-micro-batch").options(rowsPerBatch="2", numPartitions="1").load()
    for _ in range(3):
        df.writeStream.format("json").option("path", env.path("out")).option("checkpointLocation", env.path("chk")) \
            .trigger(availableNow=True).start().awaitTermination()
    return env.committed(env.path("out"))


@case
def rate_shape(spark, env):
    df = spark.readStream.format("rate").option("rowsPerSecond", "1000").option("numPartitions", "1").load()
    query = env.start(df, name="r")
    first = spark.table("r")
    import time

    deadline = time.monotonic() + 12
    while first.count() < 1000 and time.monotonic() < deadline:
        time.sleep(0.2)
    query.stop()
    progress = json.loads(query.recentProgress[0].json)
    return {
        "schema": env.schema(df, nullability=True),
        "values from zero without gaps": env.rows(
            spark.
            sql("select min(value), max(value) + 1 = count(*), count(distinct value) = count(*) from r")
        ),
        "one millisecond apart": env.rows(
            spark.sql(
                (
                    "select distinct d from (select unix_micros(timestamp) - lag(unix_micros(timestamp)) "
                    "over (order by value) as d from r) where d is not null"
                )
            )
        ),
        "source": progress["sources"][0]["description"],
        "first batch": streams.input_rows(progress),
    }


@case
def options_refused(spark, env):

    def start(fmt, **options):
        return env.start(spark.readStream.format(fmt).options(**options).load())

    attempts = [
        ("rate", {
            "rowsPerSecond": "0"
        }), ("rate", {
            "rowsPerSecond": "x"
        }), ("rate", {
            "rampUpTime": "-1s"
        }), ("rate", {
            "numPartitions": "0"
        }), ("rate-micro-batch", {}), ("rate-micro-batch", {
            "rowsPerBatch": "-1"
        }), ("rate-micro-batch", {
            "rowsPerBatch": "1",
            "startTimestamp": "-5"
        }), ("socket", {}), ("socket", {
            "host": "localhost"
        }), ("kafka", {}), ("jdbc", {}), ("no-such-format", {})
    ]
    told = {f"{fmt} {options}": env.error(lambda: start(fmt, **options)) for fmt, options in attempts}
    told["rate with a schema"] = env.error(
        lambda: spark.readStream.schema("a int").format("rate").load().schema
    )
    return told
