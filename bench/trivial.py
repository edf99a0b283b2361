"""The smallest program: start-up and nothing else."""
from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("Trivial").master("local[2]").getOrCreate()
print("RESULT rows=%d" % spark.range(10).count())
spark.stop()
