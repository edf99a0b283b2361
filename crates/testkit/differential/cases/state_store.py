"""State store providers, and reading state from outside its query."""
from pyspark.sql import functions as F

from harness import case

HDFS = "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
PROVIDER = "spark.sql.streaming.stateStore.providerClass"
STEPS = [
    ["2024-01-01T00:00:01,a,1", "2024-01-01T00:00:02,b,2"],
    ["2024-01-01T00:00:11,a,10", "2024-01-01T00:00:12,c,2"],
    ["2024-01-01T00:00:31,d,7"],
]


def source(spark, env, steps):
    """A stream of CSV files, one a batch."""
    import os

    folder = env.path("input")
    os.makedirs(folder, exist_ok=True)
    for index, lines in enumerate(steps):
        path = os.path.join(folder, f"{index}.csv")
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write("\n".join(lines) + "\n")
            os.utime(path, (1_700_000_000 + index, 1_700_000_000 + index))
    stream = spark.readStream.schema("t timestamp, k string, v bigint")
    return stream.option("maxFilesPerTrigger", 1).csv(folder)


def play(env, df, mode, checkpoint, sink="noop"):
    writer = df.writeStream.outputMode(mode).format(sink).trigger(availableNow=True)
    query = writer.option("checkpointLocation", checkpoint).start()
    query.awaitTermination()
    return query


def counted(df):
    return df.groupBy("k").agg(F.count("*").alias("n"), F.max("v").alias("m"))


def reader(spark, path, **options):
    read = spark.read.format("statestore")
    for name, value in options.items():
        read = read.option(name, value)
    return read.load(path)


def shown(env, df):
    return {"schema": df.schema.simpleString(), "rows": sorted(str(row.asDict(True)) for row in df.collect())}


def attempt(env, make):
    return env.attempt(lambda: shown(env, make()))


@case(timeout_seconds=120)
def the_rocksdb_provider_gives_the_same_answers(spark, env):
    """A windowed count on either provider, stopped half way and gone on with."""
    answers = {}
    for name, provider in [("hdfs", HDFS), ("rocksdb", ROCKSDB)]:
        spark.conf.set(PROVIDER, provider)
        checkpoint, out = env.path(f"checkpoint-{name}"), env.path(f"out-{name}")
        for steps in (STEPS[:2], STEPS):
            stream = source(spark, env, steps).withWatermark("t", "1 second")
            counts = stream.groupBy(F.window("t", "5 seconds"), "k").agg(F.count("*").alias("n"), F.sum("v").alias("s"))
            flat = counts.select("window.start", "window.end", "k", "n", "s")
            writer = flat.writeStream.outputMode("append").format("json").trigger(availableNow=True)
            writer.option("checkpointLocation", checkpoint).start(out).awaitTermination()
            spark.conf.unset(PROVIDER)
        rows = spark.read.schema("start timestamp, end timestamp, k string, n bigint, s bigint").json(out).collect()
        answers[name] = sorted(str(row.asDict()) for row in rows)
    return answers


@case
def state_of_an_aggregation(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, counted(source(spark, env, STEPS)), "update", checkpoint)
    read = lambda **options: reader(spark, checkpoint, **options)
    return {
        "last": shown(env, read().drop("partition_id")),
        "first": shown(env, read(batchId=0).drop("partition_id")),
        "columns": read().columns,
        "projected": sorted(str(row) for row in read().select("key.k", "value.count").collect()),
    }


@case
def changes_of_an_aggregation(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, counted(source(spark, env, STEPS)), "update", checkpoint)
    read = lambda **options: reader(spark, checkpoint, readChangeFeed="true", **options).drop("partition_id")
    return {
        "all": shown(env, read(changeStartBatchId=0)),
        "second": shown(env, read(changeStartBatchId=1, changeEndBatchId=1)),
    }


@case
def state_of_a_windowed_aggregation_and_its_evictions(spark, env):
    checkpoint = env.path("checkpoint")
    stream = source(spark, env, STEPS).withWatermark("t", "1 second")
    counts = stream.groupBy(F.window("t", "5 seconds"), "k").agg(F.count("*").alias("n"))
    play(env, counts, "append", checkpoint)
    feed = reader(spark, checkpoint, readChangeFeed="true", changeStartBatchId=0).drop("partition_id")
    return {"state": shown(env, reader(spark, checkpoint).drop("partition_id")), "changes": shown(env, feed)}


@case
def state_of_a_global_aggregation(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, source(spark, env, STEPS).agg(F.count("*").alias("n")), "update", checkpoint)
    return shown(env, reader(spark, checkpoint))


@case
def operators_of_a_checkpoint(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, counted(source(spark, env, STEPS)), "update", checkpoint)
    metadata = spark.read.format("state-metadata")
    return {
        "aggregation": shown(env, metadata.load(checkpoint)),
        "nothing there": shown(env, metadata.load(env.path("none"))),
        "no path": attempt(env, lambda: metadata.load()),
    }


@case
def options_of_the_state_reader_are_checked(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, counted(source(spark, env, STEPS)), "update", checkpoint)
    feed = {"readChangeFeed": "true"}
    asked = [
        {"batchId": -1},
        {"batchId": "x"},
        {"operatorId": -1},
        {"storeName": ""},
        {"joinSide": "middle"},
        {"joinSide": "left", "storeName": "left-keyToNumValues"},
        {"joinSide": "left", "changeStartBatchId": 0, **feed},
        {"stateVarName": "x"},
        {"readRegisteredTimers": "true"},
        {"snapshotStartBatchId": 0},
        {"snapshotPartitionId": 0},
        {"snapshotStartBatchId": -1, "snapshotPartitionId": 0},
        {"snapshotStartBatchId": 5, "snapshotPartitionId": 0},
        {"snapshotStartBatchId": 0, "snapshotPartitionId": -1},
        {**feed},
        {"changeStartBatchId": 1, "changeEndBatchId": 0, **feed},
        {"changeStartBatchId": -1, **feed},
        {"changeStartBatchId": 0, "batchId": 0, **feed},
        {"changeStartBatchId": 0, "snapshotStartBatchId": 0, "snapshotPartitionId": 0, **feed},
        {"changeStartBatchId": 0},
        {"changeEndBatchId": 0},
        {"flattenCollectionTypes": "false"},
        {"unknown": "1"},
    ]
    answers = {
        str(options): attempt(env, lambda options=options: reader(spark, checkpoint, **options).drop("partition_id"))
        for options in asked
    }
    answers["no path"] = attempt(env, lambda: spark.read.format("statestore").load())
    answers["user schema"] = attempt(env, lambda: spark.read.format("statestore").schema("a int").load(checkpoint))
    return answers


JOINED = [
    {"l": ["2024-01-01T00:00:01,a,1", "2024-01-01T00:00:02,b,2"], "r": ["2024-01-01T00:00:03,a,10"]},
    {"l": ["2024-01-01T00:00:04,a,3"], "r": ["2024-01-01T00:00:05,b,20", "2024-01-01T00:00:06,,30"]},
    {"l": ["2024-01-01T00:01:00,x,4"], "r": ["2024-01-01T00:01:00,y,40"]},
]
RANGE = "lk = rk and rt between lt and lt + interval 10 seconds"


def join_checkpoint(spark, env, how="inner", on=RANGE, name="join"):
    """A join of two streams of CSV files, a step a batch; the checkpoint."""
    checkpoint = env.path(f"checkpoint-{name}")
    for number, step in enumerate(JOINED):
        for side, lines in step.items():
            env.write(f"{name}-{side}/{number}.csv", lines)
        sides = [
            spark.readStream.schema(f"{side}t timestamp, {side}k string, {side}v bigint").csv(env.path(f"{name}-{side}"))
            .withWatermark(f"{side}t", "1 second") for side in "lr"
        ]
        play(env, sides[0].join(sides[1], F.expr(on), how), "append", checkpoint)
    return checkpoint


def sides_of(env, spark, checkpoint, **options):
    return {
        side: attempt(env, lambda: reader(spark, checkpoint, joinSide=side, **options).drop("partition_id"))
        for side in ("left", "right")
    }


@case(timeout_seconds=90)
def sides_of_an_inner_join(spark, env):
    checkpoint = join_checkpoint(spark, env)
    return {f"batch {batch}": sides_of(env, spark, checkpoint, batchId=batch) for batch in (0, 2, 4)} | {
        "last": sides_of(env, spark, checkpoint),
        "columns": reader(spark, checkpoint, joinSide="left").columns,
        "projected": sorted(
            str(row) for row in reader(spark, checkpoint, joinSide="left", batchId=1).select("key.field0", "value.lv").collect()
        ),
    }


@case(timeout_seconds=90)
def sides_of_outer_joins(spark, env):
    told = {}
    for how in ("leftOuter", "fullOuter", "leftSemi"):
        checkpoint = join_checkpoint(spark, env, how, name=how)
        told[how] = sides_of(env, spark, checkpoint, batchId=2)
    return told


@case(timeout_seconds=90)
def sides_of_joins_by_other_keys(spark, env):
    """Keys that are expressions, several keys, event time as a key, and no watermark's range."""
    conditions = {
        "two keys": "lk = rk and lv * 10 = rv",
        "event time": "lk = rk and lt = rt",
        "an expression": "upper(lk) = upper(rk) and rt between lt and lt + interval 10 seconds",
        "keys only": "lk = rk",
    }
    told = {}
    for number, (name, on) in enumerate(conditions.items()):
        checkpoint = join_checkpoint(spark, env, on=on, name=f"keys{number}")
        told[name] = sides_of(env, spark, checkpoint, batchId=2)
    return told


@case(timeout_seconds=90)
def stores_of_a_join(spark, env):
    """Spark's four stores by name; which of them an engine has is its own affair, but not what a bad name is told."""
    checkpoint = join_checkpoint(spark, env)
    read = lambda **options: attempt(env, lambda: reader(spark, checkpoint, **options).drop("partition_id"))
    return {
        "no side": read(),
        "unknown store": read(storeName="left-nothing"),
        "unknown operator": read(joinSide="left", operatorId=1),
        "unknown batch": read(joinSide="left", batchId=77),
        "bad side": read(joinSide="both"),
        "side in capitals": read(joinSide="LEFT"),
        "side none": read(joinSide="none"),
        "side and store": read(joinSide="left", storeName="left-keyToNumValues"),
        "side and changes": read(joinSide="left", readChangeFeed="true", changeStartBatchId=0),
        "snapshot of no partition": read(joinSide="left", snapshotStartBatchId=0, snapshotPartitionId=7),
        "snapshot later than the batch": read(joinSide="left", batchId=1, snapshotStartBatchId=3, snapshotPartitionId=0),
    }


@case(timeout_seconds=60)
def sides_of_what_is_no_join(spark, env):
    checkpoint = env.path("checkpoint")
    play(env, counted(source(spark, env, STEPS)), "update", checkpoint)
    return sides_of(env, spark, checkpoint)


@case(timeout_seconds=90)
def key_stores_of_a_join(spark, env):
    checkpoint = join_checkpoint(spark, env)
    told = {}
    for store in ("left-keyToNumValues", "left-keyWithIndexToValue", "right-keyToNumValues", "right-keyWithIndexToValue"):
        told[store] = attempt(env, lambda: reader(spark, checkpoint, storeName=store, batchId=2).drop("partition_id"))
    told["metadata"] = shown(env, spark.read.format("state-metadata").load(checkpoint))
    return told


@case(timeout_seconds=90)
def changes_of_a_join(spark, env):
    checkpoint = join_checkpoint(spark, env)
    feed = {"readChangeFeed": "true", "changeStartBatchId": 0}
    told = {}
    for store in ("left-keyToNumValues", "left-keyWithIndexToValue", "right-keyToNumValues", "right-keyWithIndexToValue"):
        told[store] = attempt(env, lambda: reader(spark, checkpoint, storeName=store, **feed).drop("partition_id"))
    return told


@case(timeout_seconds=60)
def operators_of_duplicates(spark, env):
    duplicates = env.path("checkpoint-duplicates")
    play(env, source(spark, env, STEPS).dropDuplicates(["k"]), "append", duplicates)
    metadata = lambda path: spark.read.format("state-metadata").load(path)
    return {
        "duplicates": shown(env, metadata(duplicates)),
        "state of duplicates": shown(env, reader(spark, duplicates).drop("partition_id")),
    }


@case(timeout_seconds=60)
def the_rows_of_state_are_counted_if_that_is_asked_for(spark, env):
    key = "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows"
    told = {}
    for name, provider in [("hdfs", HDFS), ("rocksdb", ROCKSDB)]:
        for counted in ("true", "false"):
            spark.conf.set(PROVIDER, provider)
            spark.conf.set(key, counted)
            folder = f"{name}_{counted}"
            query = env.start(env.events("k int", folder).groupBy("k").count(), "update")
            for number in range(2):
                env.write(f"{folder}/{number}.json", [{"k": 1}, {"k": number + 2}])
                query.processAllAvailable()
            operators = [p.stateOperators[0] for p in query.recentProgress if p.numInputRows]
            told[folder] = [[o.numRowsTotal, o.numRowsUpdated] for o in operators]
            query.stop()
    return told
