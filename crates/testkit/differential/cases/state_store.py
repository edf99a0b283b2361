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
