"""The DataFrame methods a job is written with, apart from joins and aggregates."""

from pyspark.sql import Row
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, StringType, StructField, StructType

from harness import case


def people(spark):
    return spark.createDataFrame(
        [(1, "ann", 3.5), (2, "bob", None), (3, None, 1.0)], "id int, name string, score double"
    ).coalesce(1)


@case
def columns_in_and_out(spark, env):
    df = people(spark)
    attempts = {
        "select": lambda: df.select("id", df.name,
                                    F.col("score") * 2),
        "selectExpr": lambda: df.selectExpr("id + 1 as next", "*", "upper(name)"),
        "withColumn": lambda: df.withColumn("x", F.lit(1)).withColumn("id",
                                                                      F.col("id") * 10),
        "withColumns": lambda: df.withColumns({"a": F.col("id"), "b": F.lit("z")}),
        "case of names": lambda: df.withColumn("ID", F.lit(0)),
        "withColumnRenamed": lambda: df.withColumnRenamed("name", "n").withColumnRenamed("absent", "x"),
        "withColumnsRenamed": lambda: df.withColumnsRenamed({"id": "i", "name": "n"}),
        "drop": lambda: df.drop("name", "absent"),
        "drop column": lambda: df.drop(df.name),
        "toDF": lambda: df.toDF("a", "b", "c"),
        "alias star": lambda: df.alias("p").select("p.*"),
        "cast": lambda: df.select(df.id.cast("string"), df.score.cast(IntegerType())),
        "colRegex": lambda: df.select(df.colRegex("`(id|name)`")),
        "literal": lambda: df.select(F.lit(None), F.lit(2.5), F.lit("s"), F.lit(True)),
        "arithmetic names": lambda: df.select(
            df.id + 1, -df.id, df.id % 2, df.id / 2, df.id == 1, ~(df.id > 1),
            (df.id > 1) & (df.id < 3), df.name.isNull()
        ),
        "function names": lambda: df.select(
            F.upper("name"), F.concat("name", F.lit("!")), F.coalesce("score", F.lit(0.0)),
            F.when(df.id > 1, "x").otherwise("y")
        ),
        "when chain": lambda: df.select(F.when(df.id == 1, "one").when(df.id == 2, "two")),
        "substr": lambda: df.select(df.name.substr(1, 2).alias("s")),
        "expr": lambda: df.select(F.expr("id * 2 as d")),
        "wrong count": lambda: df.toDF("a"),
    }
    return {name: env.attempt(lambda: env.table(build(), ordered=True)) for name, build in attempts.items()}


@case
def rows_in_and_out(spark, env):
    df = people(spark)
    attempts = {
        "where text": lambda: df.where("id > 1 and name is not null"),
        "filter": lambda: df.filter(df.score > 1),
        "filter null": lambda: df.filter(df.score != 3.5),
        "orderBy": lambda: df.orderBy(df.name.desc()),
        "nulls": lambda: df.orderBy(F.asc_nulls_last("name")),
        "sort two": lambda: df.sort(["score", "id"], ascending=[False, True]),
        "limit": lambda: df.limit(2),
        "offset": lambda: df.orderBy("id").offset(1),
        "union": lambda: df.union(df.where("id = 1")),
        "union widens": lambda: df.select("id").union(spark.sql("select 2.5D")),
        "unionByName": lambda: df.unionByName(df.select("score", "name", "id")),
        "unionByName missing": lambda: df.unionByName(df.select("id"), allowMissingColumns=True),
        "union of other width": lambda: df.union(df.select("id")),
        "intersect": lambda: df.intersect(df.where("id < 3")),
        "subtract": lambda: df.subtract(df.where("id < 3")),
        "exceptAll": lambda: df.union(df).exceptAll(df),
        "na.drop": lambda: df.na.drop(),
        "na.fill": lambda: df.na.fill(0).na.fill("?"),
        "na.fill subset": lambda: df.na.fill({"name": "none"}),
        "na.replace": lambda: df.na.replace("ann", "ANN"),
        "dropna thresh": lambda: df.dropna(thresh=3),
        "range": lambda: spark.range(5, 0, -2),
        "sample all": lambda: df.sample(1.0),
        "unpivot": lambda: df.unpivot("id", ["score"], "k", "v"),
        "transform": lambda: df.transform(lambda d: d.where("id = 1")),
        "crossJoin": lambda: df.select("id").crossJoin(df.select("name")),
        "filter number": lambda: df.where("id"),
    }
    return {
        name: env.attempt(
            lambda: env.
            table(build(), ordered=name not in ("intersect", "subtract", "exceptAll", "crossJoin"))
        )
        for name, build in attempts.items()
    }


@case
def actions(spark, env):
    df = people(spark)
    return {
        "count": df.count(),
        "first": [str(x) for x in df.first()],
        "head": len(df.head(2)),
        "take": len(df.take(5)),
        "isEmpty": [df.isEmpty(), df.where("false").isEmpty()],
        "columns": df.columns,
        "dtypes": df.dtypes,
        "tail": env.attempt(lambda: [r.id for r in df.tail(1)]),
        "row": [df.first().asDict(), df.first().name, df.first()["id"]],
        "isStreaming": df.isStreaming,
        "toLocalIterator": [r.id for r in df.toLocalIterator()],
        "collect empty": df.where("false").collect(),
        "isLocal": df.isLocal(),
        "pandas": env.attempt(lambda: df.select("id", "score").toPandas().to_dict("list")["id"]),
        "schema": df.schema.simpleString(),
        "json": df.schema.json()
    }


@case
def creating_frames(spark, env):
    import datetime
    import decimal

    schema = StructType(
        [
            StructField("a", IntegerType(), False),
            StructField("b", StringType()),
            StructField("c", DoubleType())
        ]
    )
    attempts = {
        "tuples and names": lambda: spark.createDataFrame([(1, "x", 2.5)], ["a", "b", "c"]),
        "schema": lambda: spark.createDataFrame([(1, "x", None)], schema),
        "ddl": lambda: spark.createDataFrame([(1, None)], "a: int, b: string"),
        "dicts": lambda: spark.createDataFrame([{"a": 1, "b": "x"}]),
        "rows": lambda: spark.createDataFrame([Row(x=1, y=Row(z="q"))]),
        "single type": lambda: spark.createDataFrame([1, 2], "int"),
        "empty": lambda: spark.createDataFrame([], "a int"),
        "types": lambda: spark.createDataFrame(
            [
                (
                    datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5), decimal.Decimal("1.5"),
                    b"\x01", [1, 2], {"k": 1}, True, 2**40
                )
            ], ["d", "t", "m", "x", "a", "mp", "b", "l"]
        ),
        "wrong type": lambda: spark.createDataFrame([("x", )], "a int"),
        "null not allowed": lambda: spark.createDataFrame([(None, "x", 1.0)], schema),
        "too few": lambda: spark.createDataFrame([(1, )], "a int, b int"),
        "nothing to infer": lambda: spark.createDataFrame([]),
        "nested": lambda: spark.createDataFrame([(1, [("a", 2)])], "i int, l array<struct<k string, v int>>"),
    }
    told = {
        name: env.attempt(lambda: env.table(build(), ordered=True))
        for name, build in attempts.items() if name not in ("wrong type", "null not allowed", "too few")
    }
    told["schema nullability"] = env.schema(attempts["schema"](), nullability=True)
    return told


@case
def on_streams(spark, env):
    """The same methods on a stream, all stateless, in one pipeline."""
    events = env.events("id int, name string, tags array<string>")
    df = events.withColumn("tag", F.explode("tags")).drop("tags").na.fill("?") \
        .withColumnRenamed("name", "n").where("id > 0") \
        .select("*", F.struct("id", "tag").alias("s")).withColumn("id", F.col("id").cast("long")) \
        .selectExpr("id", "n", "s.tag as t", "case when id % 2 = 0 then 'even' else 'odd' end as parity")
    both = df.union(df.where("id = 1"))
    return {
        "schema": env.schema(both),
        "run": env.run_stream(
            both, "append", [
                [{
                    "id": 1,
                    "tags": ["x", "y"]
                }, {
                    "id": 2,
                    "name": "b",
                    "tags": []
                }], [{"id": 2, "name": "b", "tags": ["z", None]}, {"id": -1, "tags": ["no"]}]
            ]
        )
    }
