"""The word count of the notes for a while, and what the server process took. usage: word_count.py PORT"""
import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

spark = SparkSession.builder.appName("Word count").master("local[2]").getOrCreate()
lines = spark.readStream.format("socket").option("host", "127.0.0.1").option("port", sys.argv[1]).load()
words = lines.select(explode(split("value", " ")).alias("word"))
query = words.groupBy("word").count().writeStream.format("noop").outputMode("complete").start()
while not query.lastProgress or query.lastProgress["batchId"] < 300:
    time.sleep(0.1)
batches = query.lastProgress["batchId"]
query.stop()
# The script's parent is the engine.
with open(f"/proc/{os.getppid()}/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(f"RESULT server_kib={peak} batches={batches}")
spark.stop()
