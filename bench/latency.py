"""1-row micro-batches through a stateful count. usage: latency.py CHECKPOINT BATCHES"""
import datetime
import statistics
import sys
import time

from pyspark.sql import SparkSession

checkpoint, batches = sys.argv[1], int(sys.argv[2])
spark = (
    SparkSession.builder.appName("Latency")
    .master("local[2]")
    .config("spark.sql.shuffle.partitions", 1)
    .config("spark.sql.streaming.numRecentProgressUpdates", 1000)
    .getOrCreate()
)
query = (
    spark.readStream.format("rate-micro-batch")
    .option("rowsPerBatch", 1)
    .option("numPartitions", 1)
    .load()
    .selectExpr("value % 10 AS key")
    .groupBy("key")
    .count()
    .writeStream.format("noop")
    .outputMode("update")
    .option("checkpointLocation", checkpoint)
    .start()
)
while not query.lastProgress or query.lastProgress["batchId"] < batches:
    time.sleep(0.1)
query.stop()
# The first batches warm up.
progress = [p for p in query.recentProgress if p["batchId"] >= 10]
spent = sorted(p["durationMs"]["triggerExecution"] for p in progress)
# Batches follow each other without a pause, and their own figures are whole milliseconds.
first, last = (datetime.datetime.fromisoformat(p["timestamp"].replace("Z", "+00:00")) for p in (progress[0], progress[-1]))
mean_ms = (last - first).total_seconds() * 1000 / (len(progress) - 1)
print(f"RESULT median_ms={statistics.median(spent)} p99_ms={spent[int(len(spent) * 0.99)]} mean_ms={mean_ms:.2f} batches={len(spent)}")
spark.stop()
