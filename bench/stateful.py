"""One stateful query over Parquet files. usage: stateful.py QUERY INPUT OUTPUT FILES_PER_TRIGGER [PROVIDER [MEMORY_MB]]"""
import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, expr, lit, session_window, sum, window

name, source, target, files_per_trigger = sys.argv[1:5]
builder = (
    SparkSession.builder.appName(f"Stateful {name}")
    .master("local[2]")
    .config("spark.sql.shuffle.partitions", 2)
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.streaming.numRecentProgressUpdates", 1000)
)
if len(sys.argv) > 5:
    provider = f"org.apache.spark.sql.execution.streaming.state.{sys.argv[5]}StateStoreProvider"
    builder = builder.config("spark.sql.streaming.stateStore.providerClass", provider).config(
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled", "true"
    )
if len(sys.argv) > 6:
    builder = builder.config("spark.sql.streaming.stateStore.rocksdb.boundedMemoryUsage", "true").config(
        "spark.sql.streaming.stateStore.rocksdb.maxMemoryUsageMB", sys.argv[6]
    )
spark = builder.getOrCreate()


def events():
    return (
        spark.readStream.schema("id long, key long, ts timestamp, value long")
        .option("maxFilesPerTrigger", files_per_trigger)
        .parquet(source)
    )


def sliding():
    """Ten minutes every minute: every row is in ten windows."""
    windows = events().withWatermark("ts", "10 seconds").groupBy("key", window("ts", "10 minutes", "1 minute"))
    return windows.agg(count(lit(1)).alias("n"), sum("value").alias("total")), "append"


def tumbling():
    """The same without overlap, to compare with."""
    windows = events().withWatermark("ts", "10 seconds").groupBy("key", window("ts", "1 minute"))
    return windows.agg(count(lit(1)).alias("n"), sum("value").alias("total")), "append"


def session():
    """Sessions that a pause of ten seconds ends."""
    sessions = events().withWatermark("ts", "10 seconds").groupBy("key", session_window("ts", "10 seconds"))
    return sessions.agg(count(lit(1)).alias("n"), sum("value").alias("total")), "append"


def dedup():
    """Each event once, remembered until the watermark passes it."""
    unique = events().withWatermark("ts", "10 seconds").dropDuplicates(["id", "ts"])
    return unique.select(lit(1).alias("n"), col("value").alias("total")), "append"


def join():
    """Every event with those of the same key in the minute after it."""
    left = events().select(col("key").alias("left_key"), col("ts").alias("left_ts"), "value")
    right = events().select(col("key").alias("right_key"), col("ts").alias("right_ts"))
    joined = left.withWatermark("left_ts", "10 seconds").join(
        right.withWatermark("right_ts", "10 seconds"),
        expr("left_key = right_key AND right_ts > left_ts AND right_ts <= left_ts + interval 1 minute"),
    )
    return joined.select(lit(1).alias("n"), col("value").alias("total")), "append"


def keys():
    """A count per key that is kept for ever."""
    return events().groupBy("key").agg(count(lit(1)).alias("n"), sum("value").alias("total")), "update"


rows, mode = {"sliding": sliding, "tumbling": tumbling, "session": session, "dedup": dedup, "join": join, "keys": keys}[name]()
writer = rows.writeStream.outputMode(mode).option("checkpointLocation", f"{target}/checkpoint")
writer = writer.format("noop") if mode == "update" else writer.format("parquet").option("path", f"{target}/out")
began = time.time()
query = writer.trigger(availableNow=True).start()
query.awaitTermination()
seconds = time.time() - began
progress = query.recentProgress
if mode == "update":
    answer = f"state={progress[-1]['stateOperators'][0]['numRowsTotal']}"
else:
    row = spark.read.parquet(f"{target}/out").selectExpr("count(*) rows", "sum(n) n", "sum(total) total").collect()[0]
    answer = f"rows={row['rows']} n={row['n']} total={row['total']}"
batches = ",".join(str(p["durationMs"]["triggerExecution"]) for p in progress)
commits = ",".join(str(p["stateOperators"][0]["commitTimeMs"]) for p in progress)
read = __builtins__.sum(p["numInputRows"] for p in progress)
# The script's parent is the engine, if that is Millstream.
with open(f"/proc/{os.getppid()}/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(f"RESULT seconds={seconds:.3f} read={read} {answer} batches_ms={batches} commits_ms={commits} server_kib={peak}")
spark.stop()
