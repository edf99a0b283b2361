"""StreamingQuery and StreamingQueryManager: what the handles say before, during and after."""

import json
import time

from harness import case, streams

EVENT = "id int"


def start(env, name=None, **options):
    return env.start(env.events(EVENT), name=name, **options)


@case
def before_any_data(spark, env):
    query = start(env, "idle")
    query.processAllAvailable()
    told = {
        "name": query.name,
        "active": query.isActive,
        "a batch ran": query.lastProgress is not None and "addBatch" in query.lastProgress["durationMs"],
        "exception": query.exception(),
        "awaitTermination": query.awaitTermination(1),
        "ids differ": query.id != query.runId,
        "recent": len([p for p in query.recentProgress if "addBatch" in p["durationMs"]])
    }
    query.stop()
    return told


@case
def after_stop(spark, env):
    env.write("in/0.json", [{"id": 1}])
    query = start(env)
    query.processAllAvailable()
    query.stop()
    told = {
        "status": query.status,
        "active": query.isActive,
        "exception": query.exception(),
        "awaitTermination": query.awaitTermination(),
        "with timeout": query.awaitTermination(5),
        "rows": streams.input_rows(json.loads(query.lastProgress.json)),
        "processAllAvailable": env.error(query.processAllAvailable)
    }
    query.stop()
    return told


@case
def status_while_idle(spark, env):
    env.write("in/0.json", [{"id": 1}])
    query = start(env)
    query.processAllAvailable()
    deadline = time.monotonic() + 5
    while query.status["message"] != "Waiting for data to arrive" and time.monotonic() < deadline:
        time.sleep(0.05)
    told = query.status
    query.stop()
    return told


@case
def progress_fields(spark, env):
    """What a progress document must hold, and the values that are fixed."""
    env.write("in/0.json", [{"id": 1}, {"id": 2}])
    df = env.events("id int, ts timestamp").withWatermark("ts", "1 minute").groupBy("id").count()
    query = env.start(df, "update", name="progress")
    query.processAllAvailable()
    p = query.lastProgress
    document = json.loads(p.json)
    required = {
        "id", "runId", "name", "timestamp", "batchId", "batchDuration", "durationMs", "eventTime",
        "stateOperators", "sources", "sink"
    }
    told = {
        "missing": sorted(required - set(document)),
        "durationMs": sorted(document["durationMs"]),
        "eventTime": sorted(document["eventTime"]),
        "state": sorted(
            k for k in document["stateOperators"][0]
            if k not in ("customMetrics", "snapshotCustomMetricNames")
        ),
        "source": sorted(k for k in document["sources"][0] if k != "metrics"),
        "sink": sorted(k for k in document["sink"] if k != "metrics"),
        "as an object": [
            p.name, p.batchId, p.numInputRows,
            len(p.sources), p.sink.description, p.stateOperators[0].operatorName,
            p.stateOperators[0].numRowsUpdated, p["batchId"], p.sources[0].numInputRows
        ],
        "timestamp": [len(p.timestamp), p.timestamp[-1]],
        "rates are floats": [type(p.inputRowsPerSecond).__name__,
                             type(p.processedRowsPerSecond).__name__],
    }
    query.stop()
    return told


@case
def recent_progress_is_bounded(spark, env):
    spark.conf.set("spark.sql.streaming.numRecentProgressUpdates", "3")
    for n in range(6):
        env.write(f"in/{n}.json", [{"id": n}])
    query = env.start(env.events(EVENT, maxFilesPerTrigger="1"))
    query.processAllAvailable()
    told = [p["batchId"] for p in query.recentProgress]
    query.stop()
    return told


@case
def manager(spark, env):
    first, second = start(env, "first"), start(env, "second")
    told = {
        "names": sorted(q.name for q in spark.streams.active),
        "get": spark.streams.get(first.id).name,
        "get by text": spark.streams.get(str(second.id)).runId == second.runId,
        "get unknown": spark.streams.get("00000000-0000-0000-0000-000000000000"),
        "get garbage": env.error(lambda: spark.streams.get("nonsense")),
        "awaitAny": spark.streams.awaitAnyTermination(1)
    }
    first.stop()
    told["active after stop"] = [q.name for q in spark.streams.active]
    told["awaitAny after stop"] = [spark.streams.awaitAnyTermination(5), spark.streams.awaitAnyTermination()]
    spark.streams.resetTerminated()
    told["awaitAny after reset"] = spark.streams.awaitAnyTermination(1)
    told["get stopped"] = spark.streams.get(first.id)
    second.stop()
    return told


@case
def await_any_raises_until_reset(spark, env):
    env.write("in/0.json", [{"id": 0}])
    failing = env.start(env.events(EVENT).selectExpr("1 / id"))
    told = {
        "awaitTermination": env.error(lambda: failing.awaitTermination(15)),
        "awaitAny": env.error(lambda: spark.streams.awaitAnyTermination(5)),
        "again": env.error(lambda: spark.streams.awaitAnyTermination(5))
    }
    spark.streams.resetTerminated()
    told["after reset"] = env.attempt(lambda: spark.streams.awaitAnyTermination(1))
    return told


@case
def duplicate_name(spark, env):
    start(env, "twice")
    told = {"while active": env.error(lambda: start(env, "twice"))}
    for query in spark.streams.active:
        query.stop()
    told["after stop"] = env.attempt(lambda: start(env, "twice").name)
    return told


@case
def same_checkpoint_twice(spark, env):
    """The first run is stopped without an exception; the second has its id."""
    run = lambda: env.events(EVENT).writeStream.format("noop").option("checkpointLocation", env.path("chk")
                                                                      ).start()
    first = run()
    first.processAllAvailable()
    second = run()
    second.processAllAvailable()
    told = {
        "first active": first.isActive,
        "first exception": first.exception(),
        "same id": first.id == second.id,
        "same run": first.runId == second.runId
    }
    spark.conf.set("spark.sql.streaming.stopActiveRunOnRestart", "false")
    told["not allowed"] = env.error(run)
    second.stop()
    return told


@case
def names_and_ids_across_a_restart(spark, env):
    env.write("in/0.json", [{"id": 1}])

    def run(name):
        query = env.events(EVENT).writeStream.format("noop").queryName(name).option(
            "checkpointLocation", env.path("chk")
        ).trigger(availableNow=True).start()
        query.awaitTermination()
        return query

    first, second = run("one"), run("two")
    return {
        "ids equal": first.id == second.id,
        "runs equal": first.runId == second.runId,
        "names": [first.name, second.name],
        "batches of the second": [
            p["batchId"] for p in second.recentProgress if "addBatch" in p["durationMs"]
        ],
        "inactive": second.isActive
    }


@case
def arguments_refused(spark, env):
    query = start(env)
    return {
        "negative timeout": env.error(lambda: query.awaitTermination(-1)),
        "zero timeout": env.error(lambda: query.awaitTermination(0)),
        "text timeout": env.error(lambda: query.awaitTermination("soon")),
        "awaitAny negative": env.error(lambda: spark.streams.awaitAnyTermination(-1))
    }


@case
def explain_says_something(spark, env):
    query = start(env)
    query.processAllAvailable()
    nothing = env.printed(query.explain)[:1]
    env.write("in/0.json", [{"id": 1}])
    query.processAllAvailable()
    printed = env.printed(query.explain)
    query.stop()
    return {"before data": nothing, "first line": printed[0]}


@case
def observed_metrics(spark, env):
    from pyspark.sql import functions as F

    df = env.events(EVENT).observe(
        "seen",
        F.count("*").alias("n"),
        F.max("id").alias("top"),
        F.sum(F.expr("case when id < 0 then 1 else 0 end")).alias("negative")
    )
    query = env.start(df)
    told = []
    for number, step in enumerate([[1, 5], [-2], []]):
        env.write(f"in/{number}.json", [{"id": i} for i in step])
        query.processAllAvailable()
        told.append({name: metrics(row) for name, row in query.lastProgress.observedMetrics.items()})
    query.stop()
    return told


@case
def observations_in_batch(spark, env):
    from pyspark.sql import Observation, functions as F

    rows = spark.range(10)
    told = {}
    for name, run in {
        "collected": lambda df: df.where("id > 4").collect(),
        "written": lambda df: df.write.parquet(env.path("out")),
        "joined": lambda df: df.join(spark.range(3), "id").count()
    }.items():
        seen = Observation(name)
        run(rows.observe(seen, F.count("*").alias("n"), F.max("id").alias("top"), (F.avg("id") * 2).alias("twice")))
        told[name] = seen.get
    none = Observation("none")
    rows.where("id < 0").observe(none, F.count("*").alias("n"), F.max("id").alias("top")).collect()
    told["no rows"] = none.get
    return told


def metrics(row):
    """Connect's progress holds values and schema apart, where classic PySpark has the row itself."""
    named = row.asDict() if hasattr(row, "asDict") else dict(row)
    if set(named) != {"values", "schema"}:
        return named
    schema = named["schema"]
    return dict(zip([f["name"] for f in schema["fields"]], named["values"]))


@case
def settings_are_those_of_the_start(spark, env):
    """The query runs in a copy of the session: later settings do not reach it."""
    query = env.start(env.events("t string").selectExpr("cast(cast(t as timestamp) as long) as s"))
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    env.write("in/0.json", [{"t": "1970-01-01 00:00:00"}])
    query.processAllAvailable()
    rows = env.rows(spark.table(query.name))
    query.stop()
    return rows


@case
def current_timestamp_is_fixed_in_a_batch(spark, env):
    env.write("in/0.json", [{"id": i} for i in range(3)])
    query = env.start(
        env.events(EVENT).selectExpr("current_timestamp() as now", "current_date() as today", "id")
    )
    query.processAllAvailable()
    told = env.rows(
        spark.sql(
            f"select count(distinct now), count(distinct today), count(*), min(now) > timestamp'2020-01-01 00:00:00' from {query.name}"
        )
    )
    query.stop()
    return told


@case(timeout_seconds=60)
def an_observed_dataframe_that_is_used_twice(spark, env):
    from pyspark.sql import Observation, functions as F

    uses = {
        "union": lambda df: df.union(df),
        "union of parts": lambda df: df.where("id > 1").union(df.where("id < 3")),
        "three times": lambda df: df.union(df).union(df.select((F.col("id") + 1).alias("id"))),
        "join": lambda df: df.alias("a").join(df.alias("b"), F.expr("a.id = b.id")).select("a.id"),
    }
    told = {}
    for name, use in uses.items():
        seen = Observation()
        rows = use(spark.range(3).observe(seen, F.count("*").alias("n"), F.sum("id").alias("s"))).count()
        told["batch " + name] = [rows, seen.get]
        folder = "in_" + name.replace(" ", "_")
        stream = env.events("id int", folder).observe("seen", F.count("*").alias("n"), F.sum("id").alias("s"))
        query = env.start(use(stream))
        env.write(f"{folder}/0.json", [{"id": i} for i in range(3)])
        query.processAllAvailable()
        reports = [metrics(r) for p in query.recentProgress for r in p.observedMetrics.values()]
        told["stream " + name] = [spark.table(query.name).count(), reports]
        query.stop()
    return told


@case
def what_cannot_be_observed(spark, env):
    from pyspark.sql import Observation, functions as F

    frames = {"batch": spark.range(3), "stream": env.events("id int")}
    metric = {
        "count distinct": F.count_distinct("id").alias("n"),
        "sum distinct": F.sum_distinct("id").alias("n"),
        "within": (F.count_distinct("id") + 1).alias("n"),
        "no alias": F.count_distinct("id"),
        "filter": F.expr("count(id) filter (where id > 1)").alias("n"),
        "count_if": F.count_if(F.col("id") > 1).alias("n"),
    }
    told = {
        f"{kind} {name}": env.attempt(lambda: str(df.observe("seen", of).schema.names))
        for kind, df in frames.items()
        for name, of in metric.items()
    }
    told["no name"] = env.attempt(lambda: Observation(""))
    unnamed = env.error(lambda: spark.range(3).observe("", F.count("*").alias("n")).schema)
    # Its parameter is a plan.
    told["empty name"] = [unnamed["exception"], unnamed["condition"]]
    return told
