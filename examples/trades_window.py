"""Tumbling 15-minute windows over BUY/SELL trades: the program that `make run` runs.

An ordinary PySpark program: `spark-submit examples/trades_window.py` prints the same. It reads a folder of text files with one JSON
trade a line, sums what was bought and sold per window, and ends when everything that is there is processed.
"""
import os

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, expr, from_json, sum, to_timestamp, window
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

if __name__ == "__main__":
    spark = (
        SparkSession.builder.appName("Tumbling Window")
        .master("local[3]")
        .config("spark.streaming.stopGracefullyOnShutdown", "true")
        .config("spark.sql.shuffle.partitions", 2)
        .getOrCreate()
    )

    trade_schema = StructType(
        [
            StructField("CreatedTime", StringType()),
            StructField("Type", StringType()),
            StructField("Amount", IntegerType()),
            StructField("BrokerCode", StringType()),
        ]
    )

    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "trades")
    lines = spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(data)

    trades = (
        lines.select(from_json(col("value"), trade_schema).alias("value"))
        .select("value.*")
        .withColumn("CreatedTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss"))
        .withColumn("Buy", expr("case when Type == 'BUY' then Amount else 0 end"))
        .withColumn("Sell", expr("case when Type == 'SELL' then Amount else 0 end"))
    )

    totals = (
        trades.withWatermark("CreatedTime", "30 minute")
        .groupBy(window(col("CreatedTime"), "15 minute"))
        .agg(sum("Buy").alias("TotalBuy"), sum("Sell").alias("TotalSell"))
        .select("window.start", "window.end", "TotalBuy", "TotalSell")
    )

    query = (
        totals.writeStream.format("console")
        .outputMode("update")
        .option("truncate", "false")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
