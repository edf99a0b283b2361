"""The programs of the user's notes, one micro-batch per input file."""

import hashlib

from pyspark.sql.functions import col, expr, from_json, max, sum, to_timestamp, window
from pyspark.sql.types import IntegerType, StringType, StructField, StructType

from harness import case

STOCK_SCHEMA = StructType(
    [
        StructField("CreatedTime", StringType()),
        StructField("Type", StringType()),
        StructField("Amount", IntegerType()),
        StructField("BrokerCode", StringType()),
    ]
)


def trades(env, *, watermark: str | None):
    value_df = env.lines().select(from_json(col("value").cast("string"), STOCK_SCHEMA).alias("value"))
    trade_df = value_df.select("value.*") \
        .withColumn("CreatedTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss")) \
        .withColumn("Buy", expr("case when Type == 'BUY' then Amount else 0 end")) \
        .withColumn("Sell", expr("case when Type == 'SELL' then Amount else 0 end"))
    if watermark:
        trade_df = trade_df.withWatermark("CreatedTime", watermark)
    window_agg_df = trade_df \
        .groupBy(window(col("CreatedTime"), "15 minute")) \
        .agg(sum("Buy").alias("TotalBuy"), sum("Sell").alias("TotalSell"))
    return window_agg_df.select("window.start", "window.end", "TotalBuy", "TotalSell")


def one_per_line(env, name: str):
    return [[line] for line in (env.data / name).read_text().splitlines() if line.strip()]


def run_trades(env, name: str, mode: str, watermark: str | None):
    return env.run_stream(trades(env, watermark=watermark), mode, one_per_line(env, name))


@case
def trades_update(spark, env):
    return run_trades(env, "trades.txt", "update", None)


@case
def trades_complete(spark, env):
    return run_trades(env, "trades.txt", "complete", None)


@case
def trades_append_needs_a_watermark(spark, env):
    return env.error(lambda: env.start(trades(env, watermark=None), "append"))


@case
def trades_watermark_update(spark, env):
    return run_trades(env, "trades-watermark.txt", "update", "30 minute")


@case
def trades_watermark_complete(spark, env):
    return run_trades(env, "trades-watermark.txt", "complete", "30 minute")


@case
def trades_watermark_append(spark, env):
    later = '{"CreatedTime": "2019-02-05 11:45:00", "Type": "BUY", "Amount": 100, "BrokerCode": "ABX"}'
    steps = one_per_line(env, "trades-watermark.txt") + [[later]]
    return env.run_stream(trades(env, watermark="30 minute"), "append", steps)


@case
def trades_watermark_in_one_go(spark, env):
    """Every trade in the first batch: none is late, because the watermark still is zero."""
    lines = [line for step in one_per_line(env, "trades-watermark.txt") for line in step]
    return env.run_stream(trades(env, watermark="30 minute"), "update", [lines])


@case
def trades_schema(spark, env):
    df = trades(env, watermark="30 minute")
    return {"schema": env.schema(df, nullability=True), "streaming": df.isStreaming}


@case
def trades_running_total_in_batch(spark, env):
    """The notes' batch version, with its running totals over a window without partitions."""
    from pyspark.sql import Window

    lines = [line for step in one_per_line(env, "trades.txt") for line in step]
    env.write("batch/trades.json", lines)
    output_df = spark.read.schema(STOCK_SCHEMA).json(env.path("batch")) \
        .withColumn("CreatedTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss")) \
        .withColumn("Buy", expr("case when Type == 'BUY' then Amount else 0 end")) \
        .withColumn("Sell", expr("case when Type == 'SELL' then Amount else 0 end")) \
        .groupBy(window(col("CreatedTime"), "15 minute")) \
        .agg(sum("Buy").alias("TotalBuy"), sum("Sell").alias("TotalSell")) \
        .select("window.start", "window.end", "TotalBuy", "TotalSell")
    running = Window.orderBy("end").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    final = output_df \
        .withColumn("RTotalBuy", sum("TotalBuy").over(running)) \
        .withColumn("RTotalSell", sum("TotalSell").over(running)) \
        .withColumn("NetValue", expr("RTotalBuy - RTotalSell"))
    return {
        "table": env.table(final),
        "shown": env.printed(lambda: final.orderBy("end").show(truncate=False))
    }


@case
def sensor_sliding_window(spark, env):
    """`key:json` lines; 15 minute windows sliding by 5, 30 minute watermark."""
    schema = "CreatedTime STRING, Reading DOUBLE"
    sensor_df = env.lines() \
        .selectExpr("substring_index(value, ':', 1) as SensorID",
                    "substring(value, instr(value, ':') + 1) as document") \
        .select("SensorID", from_json(col("document"), schema).alias("value")) \
        .select("SensorID", "value.*") \
        .withColumn("CreatedTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss"))
    agg_df = sensor_df \
        .withWatermark("CreatedTime", "30 minute") \
        .groupBy(col("SensorID"), window(col("CreatedTime"), "15 minute", "5 minute")) \
        .agg(max("Reading").alias("MaxReading"))
    output = agg_df.select("SensorID", "window.start", "window.end", "MaxReading")
    return env.run_stream(output, "update", one_per_line(env, "sensor-keyed.txt"))


def flattened(raw_df):
    explode_df = raw_df.selectExpr(
        "InvoiceNumber", "CreatedTime", "StoreID", "PosID", "CustomerType", "PaymentMethod", "DeliveryType",
        "DeliveryAddress.City", "DeliveryAddress.State", "DeliveryAddress.PinCode",
        "explode(InvoiceLineItems) as LineItem"
    )
    return explode_df \
        .withColumn("ItemCode", expr("LineItem.ItemCode")) \
        .withColumn("ItemDescription", expr("LineItem.ItemDescription")) \
        .withColumn("ItemPrice", expr("LineItem.ItemPrice")) \
        .withColumn("ItemQty", expr("LineItem.ItemQty")) \
        .withColumn("TotalValue", expr("LineItem.TotalValue")) \
        .drop("LineItem")


def flatten_invoices(spark, env):
    spark.conf.set("spark.sql.streaming.schemaInference", "true")
    raw_df = spark.readStream.format("json") \
        .option("path", env.path("input")) \
        .option("maxFilesPerTrigger", 1) \
        .load()
    query = flattened(raw_df).writeStream.format("json") \
        .queryName("Flattened Invoice Writer") \
        .outputMode("append") \
        .option("path", env.path("output")) \
        .option("checkpointLocation", env.path("chk-point-dir")) \
        .start()
    query.processAllAvailable()
    query.stop()
    return raw_df, env.committed(env.path("output"))


@case(timeout_seconds=60)
def invoice_flatten(spark, env):
    """The whole of the bundled invoices, one file per micro-batch; output told by digest."""
    for n in (1, 2, 3):
        env.write(f"input/Invoice-set{n}.json", (env.data / f"invoices/Invoice-set{n}.json").read_bytes())
    raw_df, output = flatten_invoices(spark, env)
    digests = {}
    for batch, files in output["batches"].items():
        lines = [line for file in files for line in file["lines"]]
        text = "".join(f"{line}\n" for line in lines)
        digests[batch] = {
            "lines": len(lines),
            "first": lines[0],
            "last": lines[-1],
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    return {"inferred": env.schema(raw_df), "batches": digests}


@case
def invoice_flatten_a_few(spark, env):
    """The first invoices of each file, every output line in order."""
    for n in (1, 2, 3):
        lines = (env.data / f"invoices/Invoice-set{n}.json").read_text().splitlines()
        env.write(f"input/Invoice-set{n}.json", lines[:4 + n])
    return flatten_invoices(spark, env)[1]


@case
def word_count(spark, env):
    words_df = env.lines().select(expr("explode(split(value,' ')) as word"))
    counts_df = words_df.groupBy("word").count()
    steps = [["spark streaming spark"], ["hello streaming", ""], ["  two  spaces "], ["SPARK spark"]]
    return env.run_stream(counts_df, "complete", steps)


@case
def login_enrichment(spark, env):
    """The stream-table join, the table being bundled rows; drop by the DataFrame's own column."""
    login_schema = StructType(
        [StructField("created_time", StringType()),
         StructField("login_id", StringType())]
    )
    login_df = env.lines().select(from_json(col("value"), login_schema).alias("value")).select("value.*") \
        .withColumn("created_time", to_timestamp(col("created_time"), "yyyy-MM-dd HH:mm:ss"))
    user_df = spark.createDataFrame(
        [
            ("100001", "Prashant", "2019-02-05"), ("100009", "Alisha", "2019-03-07"),
            ("100087", "Abdul", "2019-06-12")
        ], "login_id string, user_name string, last_login string"
    )
    joined_df = login_df.join(user_df, login_df.login_id == user_df.login_id, "inner").drop(login_df.login_id)
    output_df = joined_df.select(col("login_id"), col("user_name"), col("created_time").alias("last_login"))
    return env.run_stream(output_df, "update", one_per_line(env, "logins.txt"))


@case
def survey_sql(spark, env):
    """The notes' warm-up: CSV with header and inferred schema, SQL over a temporary view."""
    survey_df = spark.read.option("header", "true").option("inferSchema",
                                                           "true").csv(str(env.data / "survey.csv"))
    survey_df.createOrReplaceTempView("survey_tbl")
    count_df = spark.sql("select Country, count(1) as count from survey_tbl where Age<40 group by Country")
    return {"schema": env.schema(survey_df), "rows": env.rows(count_df)}
