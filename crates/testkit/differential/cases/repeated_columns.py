"""A column that stands in a DataFrame twice: both are the same column, so its name means one thing."""

from pyspark.sql import functions as F

from harness import case
from harness.streams import outcomes

EVENT = "ts timestamp, k string, v int"


def numbers(spark):
    df = spark.createDataFrame([(1, 1), (2, 20), (2, 30)], "i int, v int")
    df.createOrReplaceTempView("t")
    return df


@case(timeout_seconds=90)
def later_references(spark, env):
    df = numbers(spark)
    twice = df.select("i", "i")
    asked = {
        "select": lambda: twice.select("i"),
        "select of the frame": lambda: twice.select(twice.i, twice["i"]),
        "with a star": lambda: df.select("*", "i").select("i", "v"),
        "star of a star": lambda: twice.select("*", "*").select("i"),
        "three times": lambda: twice.select("i", "i", F.col("i").alias("k")).select("k", "i"),
        "filter": lambda: twice.filter("i > 1").select(twice.i),
        "orderBy": lambda: twice.orderBy(F.desc("i")),
        "groupBy": lambda: twice.groupBy("i").agg(F.sum("i")),
        "groupBy twice": lambda: df.groupBy("i", "i").count().select("i", "count"),
        "key among aggregates": lambda: df.groupBy("i").agg(F.col("i"), F.count("*")).select("i"),
        "rollup": lambda: twice.rollup("i").count(),
        "pivot": lambda: twice.groupBy("i", twice.i).pivot("i", [1, 2]).count(),
        "withColumn": lambda: twice.withColumn("w", F.col("i") + 1),
        "withColumn over both": lambda: twice.withColumn("i", F.lit(1)),
        "withColumnRenamed": lambda: twice.withColumnRenamed("i", "z"),
        "drop": lambda: df.select("i", "i", "v").drop("i"),
        "dropDuplicates": lambda: twice.dropDuplicates(["i"]).select("i"),
        "dropDuplicates of all": lambda: twice.dropDuplicates(),
        "distinct": lambda: twice.distinct().select("i"),
        "limit": lambda: twice.orderBy("i").limit(1).select("i"),
        "fillna": lambda: twice.fillna(0, ["i"]),
        "replace": lambda: twice.replace(1, 5),
        "dropna": lambda: twice.na.drop(subset=["i"]),
        "toDF": lambda: twice.toDF("a", "b").select("a", "b"),
        "alias of a relation": lambda: twice.alias("q").select("q.i"),
        "generator": lambda: twice.selectExpr("i", "explode(array(1, 2)) e"),
        "repartition": lambda: twice.repartition(2, "i").select("i"),
        "unpivot": lambda: twice.unpivot(["i"], ["i"], "n", "value"),
        "case": lambda: df.select("i", "I").select("i"),
        "itself": lambda: twice,
    }
    return {name: env.attempt(lambda: env.table(build())) for name, build in asked.items()}


@case(timeout_seconds=90)
def two_sides(spark, env):
    df = numbers(spark)
    twice, other = df.select("i", "i"), df.select("v")
    asked = {
        "join using": lambda: twice.join(df, "i"),
        "semi join using": lambda: twice.join(df, "i", "left_semi"),
        "right join using": lambda: twice.join(df, "i", "right"),
        "full join using": lambda: twice.join(df, "i", "full"),
        "join on": lambda: twice.join(other, twice.i == other.v, "left").select("i", "v"),
        "cross join": lambda: twice.crossJoin(other).select("i").distinct(),
        "self join": lambda: twice.alias("p").join(twice.alias("q"), F.col("p.i") == F.col("q.i")).select("p.i"),
        "union": lambda: twice.union(twice).select("i"),
        "union with others": lambda: twice.union(df),
        "union by name": lambda: twice.unionByName(twice),
        "intersect": lambda: twice.intersect(twice).select("i"),
        "subtract": lambda: twice.subtract(twice.where("i = 1")).select("i"),
    }
    return {name: env.attempt(lambda: env.table(build())) for name, build in asked.items()}


@case(timeout_seconds=60)
def in_sql(spark, env):
    numbers(spark)
    spark.table("t").select("i", "i").createOrReplaceTempView("doubled")
    return env.queries(
        [
            "select i from (select i, i from t)",
            "select s.i from (select i, i from t) s",
            "select i from (select i, i, count(*) from t group by i)",
            "select i from doubled",
            "with c as (select i, i from t) select c.i from c order by i",
            "select i, i from t order by i",
            "select (select max(i) from (select i, i from t)) m",
            "select * from t where exists (select i, i from t)",
            "select * from t where i in (select i from (select i, i from t))",
            "select i, i, l.* from t, lateral (select t.v) l",
            "select i, e from (select i, i from t) lateral view explode(array(1, 2)) x as e",
            "select i, i, row_number() over (order by i, v) r from t qualify r = 1",
            "select i from (select i, i from t union select i, i from t)",
        ]
    )


@case
def an_alias_makes_a_new_column(spark, env):
    df = numbers(spark)
    twice = df.select("i", "i")
    asked = {
        "alias": lambda: df.select("i", F.col("i").alias("i")).select("i"),
        "another column": lambda: df.select("i", F.col("v").alias("i")).select("i"),
        "computed twice": lambda: twice.withColumns({"i": F.col("i") + 1}).select("i"),
        "toDF": lambda: twice.toDF("i", "i").select("i"),
        "to": lambda: twice.to(df.select("i").schema).select(F.lit(1)),
        "withColumnRenamed": lambda: twice.withColumnRenamed("i", "z").select("z"),
        "fields": lambda: df.select(F.struct("i").alias("s")).select("s.i", "s.i").select("i"),
    }
    return {name: env.error(lambda: build().schema) for name, build in asked.items()}


@case(timeout_seconds=120)
def in_streams(spark, env):
    events = [{"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 1}, {"ts": "2024-01-01T10:00:00Z", "k": "a", "v": 2}]
    env.write("in/a.json", events)
    s = env.events(EVENT)
    twice = s.select("k", "k", "ts", "ts")
    asked = {
        "filter": twice.where("k = 'a'"),
        "watermark": twice.withWatermark("ts", "1 minute").groupBy("ts").count(),
        "duplicates": twice.dropDuplicates(),
        "duplicates by key": twice.dropDuplicates(["k"]),
        "union": twice.union(twice).select("k"),
        "join": twice.join(s, "k"),
    }
    return {name: outcomes(env, df, ("append", "update")) for name, df in asked.items()}


@case(timeout_seconds=60)
def rows_of_a_stream(spark, env):
    s = env.events(EVENT, "in")
    twice = s.select("k", "k", "v", "v")
    counted = twice.dropDuplicates(["k", "v"]).groupBy("k").agg(F.count("k").alias("n"), F.sum("v").alias("s"))
    events = [("a", 1), ("a", 1), ("b", 2)], [("a", 3), ("b", 2)]
    steps = [{"in": [{"ts": "2024-01-01T10:00:00Z", "k": k, "v": v} for k, v in step]} for step in events]
    return env.run_stream(counted, "update", steps)
