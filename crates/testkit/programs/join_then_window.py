from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, expr, max, window

if __name__ == "__main__":
    spark = SparkSession \
        .builder \
        .appName("Clicks per Campaign") \
        .master("local[2]") \
        .config("spark.sql.shuffle.partitions", 2) \
        .getOrCreate()

    impressions_df = spark.readStream \
        .schema("ImpressionID string, ImpressionTime timestamp, Campaigner string") \
        .option("maxFilesPerTrigger", 1) \
        .json("impressions") \
        .withWatermark("ImpressionTime", "10 minutes")

    clicks_df = spark.readStream \
        .schema("ClickID string, ClickTime timestamp") \
        .option("maxFilesPerTrigger", 1) \
        .json("clicks") \
        .withWatermark("ClickTime", "10 minutes")

    joined_df = impressions_df.join(
        clicks_df,
        expr("ImpressionID = ClickID and ClickTime between ImpressionTime and ImpressionTime + interval 15 minutes"),
        "left_outer")

    totals_df = joined_df \
        .groupBy(window("ImpressionTime", "10 minutes"), "Campaigner") \
        .agg(count("*").alias("Rows"), count("ClickTime").alias("Clicks"), max("ClickTime").alias("LastClick")) \
        .select(col("window.start").alias("Start"), "Campaigner", "Rows", "Clicks", "LastClick")

    query = totals_df.writeStream \
        .format("json") \
        .option("path", "output") \
        .option("checkpointLocation", "chk-point-dir") \
        .outputMode("append") \
        .start()

    print("started", flush=True)
    query.processAllAvailable()
    query.stop()
