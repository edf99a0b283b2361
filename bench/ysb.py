"""The Yahoo Streaming Benchmark on JSON files. usage: ysb.py INPUT OUTPUT [scan]

With `scan` the events are parsed as the benchmark needs them, and thrown away: what parsing takes of its time.
"""
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, lit, timestamp_millis, window

source, target = sys.argv[1], sys.argv[2]
spark = (
    SparkSession.builder.appName("Yahoo Streaming Benchmark")
    .master("local[2]")
    .config("spark.sql.shuffle.partitions", 2)
    .getOrCreate()
)

events = (
    spark.readStream.schema(
        "user_id string, page_id string, ad_id string, ad_type string, event_type string, event_time string,"
        " ip_address string"
    )
    .option("maxFilesPerTrigger", 8)
    .json(f"{source}/events")
)
ads = spark.read.schema("ad_id string, campaign_id string").json(f"{source}/ads")

counts = (
    events.filter(col("event_type") == "view")
    .select("ad_id", timestamp_millis(col("event_time").cast("long")).alias("event_time"))
    .withWatermark("event_time", "10 seconds")
    .join(ads, "ad_id")
    .groupBy("campaign_id", window("event_time", "10 seconds"))
    .agg(count(lit(1)).alias("views"))
)

if sys.argv[3:] == ["scan"]:
    parsed = events.select("ad_id", "event_type", "event_time").writeStream.format("noop")
    began = time.time()
    parsed.option("checkpointLocation", f"{target}/scan").trigger(availableNow=True).start().awaitTermination()
    print(f"RESULT seconds={time.time() - began:.3f}")
    sys.exit()

began = time.time()
query = (
    counts.writeStream.format("parquet")
    .outputMode("append")
    .option("path", f"{target}/out")
    .option("checkpointLocation", f"{target}/checkpoint")
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
seconds = time.time() - began
out = spark.read.parquet(f"{target}/out")
row = out.selectExpr("count(*) as n", "sum(views) as views").collect()[0]
print(f"RESULT seconds={seconds:.3f} windows={row['n']} views={row['views']}")
spark.stop()
