"""Joins in batch and of a stream with a static side: types, conditions, columns afterwards."""

from pyspark.sql import functions as F

from harness import answer, case

LEFT = [(1, "a", 10), (2, "b", 20), (2, "b2", 21), (3, None, 30), (None, "n", 40)]
RIGHT = [(1, "x"), (2, "y"), (2, "y2"), (4, "w"), (None, "m")]


def sides(spark):
    return spark.createDataFrame(LEFT, "id int, name string, v int"
                                 ), spark.createDataFrame(RIGHT, "id int, other string")


TYPES = [
    "inner", "left", "leftouter", "left_outer", "right", "outer", "full", "fullouter", "semi", "leftsemi",
    "anti", "left_anti", "cross", "sideways"
]


@case(client_specific=True)
def using_a_column(spark, env):
    left, right = sides(spark)
    return {how: env.attempt(lambda: env.table(left.join(right, "id", how))) for how in TYPES}


@case(client_specific=True)
def on_a_condition(spark, env):
    left, right = sides(spark)
    return {how: env.attempt(lambda: env.table(left.join(right, left.id == right.id, how))) for how in TYPES}


@case
def conditions(spark, env):
    left, right = sides(spark)
    conditions = {
        "null-safe": left.id.eqNullSafe(right.id),
        "range": left.id < right.id,
        "equality and more": (left.id == right.id) & (left.v > 20),
        "or": (left.id == right.id) | (left.v == 40),
        "list of conditions": [left.id == right.id, left.name < right.other],
        "text": F.expr("name > other"),
        "constant": F.lit(True),
        "two columns": ["id"],
        "one side only": left.v > 25,
        "not boolean": left.v,
    }
    return {
        name: env.attempt(lambda: env.table(left.join(right, on, "inner")))
        for name, on in conditions.items()
    }


@case(client_specific=True)
def columns_after_a_join(spark, env):
    left, right = sides(spark)
    both = left.join(right, left.id == right.id)
    attempts = {
        "drop left": lambda: both.drop(left.id),
        "drop right": lambda: both.drop(right["id"]),
        "drop by name": lambda: both.drop("id"),
        "select both": lambda: both.select(left.id, right.id, "other"),
        "ambiguous name": lambda: both.select("id"),
        "ambiguous col": lambda: both.where(F.col("id") > 1),
        "aliases": lambda: left.alias("l").join(right.alias("r"),
                                                F.col("l.id") == F.col("r.id")).select("l.id", "r.other"),
        "alias star": lambda: left.alias("l").join(right.alias("r"), F.expr("l.id = r.id")).select("r.*"),
        "withColumn": lambda: both.withColumn("sum", left.id + right.id),
        "renamed": lambda: both.withColumnRenamed("other", "o").drop(right.id),
        "foreign column": lambda: left.select(right.other),
        "self join": lambda: left.alias("a").join(left.alias("b"), F.expr("a.id = b.v / 10")).
        select("a.name",
               F.col("b.name").alias("bn")),
        "self join on the same column": lambda: left.join(left, left.id == left.id).select(left.v),
        "column after select": lambda: both.select(left["*"]).where(left.v > 15),
        "toDF": lambda: both.toDF("a", "b", "c", "d", "e"),
        "dedup": lambda: both.dropDuplicates(["other"]).select("other"),
    }
    return {name: env.attempt(lambda: env.table(build())) for name, build in attempts.items()}


@case
def sql_joins(spark, env):
    left, right = sides(spark)
    left.createOrReplaceTempView("l")
    right.createOrReplaceTempView("r")
    return env.queries(
        [
            "select * from l join r on l.id = r.id", "select * from l join r using (id)",
            "select * from l natural join r",
            "select l.id, r.other from l left join r on l.id = r.id and r.other > 'x'",
            "select * from l full outer join r using (id)", "select * from l left semi join r on l.id = r.id",
            "select * from l left anti join r using (id)", "select count(*) from l cross join r",
            "select count(*) from l, r", "select id from l where id in (select id from r)",
            "select id from l where id not in (select id from r)",
            "select id from l where id not in (select id from r where id is not null)",
            "select id from l where exists (select 1 from r where r.id = l.id)",
            "select id, (select max(other) from r where r.id = l.id) as m from l", "select * from l join r",
            "select id from l join r on l.id = r.id"
        ]
    )


@case
def stream_with_static(spark, env):
    static = spark.createDataFrame(RIGHT, "id int, other string")
    told = {}
    for how in ("inner", "left", "semi", "anti"):
        events = env.events("id int, v int", f"in-{how}")
        told[how] = env.run_stream(
            events.join(static, "id", how),
            "append", [
                {
                    f"in-{how}": [{"id": 1, "v": 1}, {"id": 2, "v": 2}, {"v": 3}]
                }, {f"in-{how}": [{"id": 9, "v": 4}, {"id": 1, "v": 5}]}
            ],
            progress=False
        )
    events = env.events("id int, v int", "in-right")
    told["static left right-outer"] = env.run_stream(
        static.join(events, "id", "right"),
        "append", [{"in-right": [{"id": 1, "v": 1}, {"id": 9, "v": 2}]}],
        progress=False
    )
    return told


@case
def stream_with_static_files(spark, env):
    """The static side's file listing is the one of when it was created."""
    env.write("dim/a.json", [{"id": 1, "name": "one"}])
    static = spark.read.schema("id int, name string").json(env.path("dim"))
    events = env.events("id int")
    query = env.start(events.join(static, "id", "left").groupBy("name").count(), "update")
    env.write("in/1.json", [{"id": 1}, {"id": 2}])
    query.processAllAvailable()
    env.write("dim/b.json", [{"id": 2, "name": "two"}])
    env.write("in/2.json", [{"id": 2}])
    query.processAllAvailable()
    rows = env.rows(spark.table(query.name))
    query.stop()
    return rows


def row(spark, k, v):
    return spark.createDataFrame([(k, v)], "k int, v string").coalesce(1)


def saved(spark, env, name):
    row(spark, 1, "first").write.saveAsTable(name, format="parquet", path=env.path(name))
    return spark.table(name)


def beside_a_stream(spark, env, name, table, how, write):
    """What three batches of one input bring, with a write into the table it is joined with between them."""
    query = env.start(env.events("k int", "in_" + name).join(table, "k", how))
    seen, before = [], []
    try:
        for number in range(3):
            if number:
                write(number + 1)
            env.write(f"in_{name}/{number}.json", [{"k": 1}, {"k": 2}, {"k": 3}])
            query.processAllAvailable()
            after = env.rows(spark.table(query.name))
            seen.append(answer.added(before, after))
            before = after
    except Exception as e:
        seen.append("[FAILED_READ_FILE.FILE_NOT_EXIST]" in str(e) or str(e))
    finally:
        query.stop()
    return seen


def dropping(spark, told, *tables):
    """What was told; tables outlive the session."""
    for name in tables:
        spark.sql("drop table if exists " + name)
    return told


@case(timeout_seconds=120)
def a_table_that_is_written_to_while_a_stream_runs(spark, env):
    """A write shows in the next batch, once: after it the session has another list of the table's files."""
    def insert(k):
        spark.sql(f"insert into inserted values ({k}, 'inserted')")

    def into(k):
        row(spark, k, "written").write.insertInto("written")

    def save(k):
        row(spark, k, "saved").write.saveAsTable("saved", format="parquet", mode="append")

    writes = [("inserted", "left", insert), ("written", "inner", into), ("saved", "left", save)]
    told = {name: beside_a_stream(spark, env, name, saved(spark, env, name), how, write) for name, how, write in writes}
    return dropping(spark, told, *told)


@case(timeout_seconds=120)
def files_that_appear_while_a_stream_runs(spark, env):
    """They do not show in a list that was made before, unless the table is refreshed."""
    def append(name, k):
        row(spark, k, "appended").write.parquet(env.path(name), mode="append")

    def refresh(k):
        append("refreshed", k)
        spark.sql("refresh table refreshed")

    row(spark, 1, "first").write.parquet(env.path("files"))
    files = spark.read.parquet(env.path("files"))
    told = {
        "files": beside_a_stream(spark, env, "files", files, "left", lambda k: append("files", k)),
        "table": beside_a_stream(spark, env, "listed", saved(spark, env, "listed"), "left", lambda k: append("listed", k)),
        "refreshed": beside_a_stream(spark, env, "refreshed", saved(spark, env, "refreshed"), "inner", refresh),
        "listed once": spark.table("listed").count(),
    }
    spark.catalog.refreshTable("listed")
    told["listed again"] = spark.table("listed").count()
    return dropping(spark, told, "listed", "refreshed")


@case(timeout_seconds=120)
def views_of_a_table_that_is_written_to_while_a_stream_runs(spark, env):
    saved(spark, env, "viewed").createOrReplaceTempView("view_of_it")
    saved(spark, env, "queried")
    spark.sql("create or replace temp view query_of_it as select k, upper(v) as v from queried")

    def insert(name):
        return lambda k: spark.sql(f"insert into {name} values ({k}, 'inserted')")

    views = [("viewed", "view_of_it"), ("queried", "query_of_it")]
    told = {name: beside_a_stream(spark, env, name, spark.table(view), "left", insert(name)) for name, view in views}
    return dropping(spark, told, *told)


@case(timeout_seconds=120)
def a_table_that_is_written_over_while_a_stream_runs(spark, env):
    def over(k):
        row(spark, k, "saved").write.saveAsTable("over", format="parquet", mode="overwrite", path=env.path("over"))

    def insert_over(k):
        spark.sql(f"insert overwrite insert_over values ({k}, 'inserted')")

    def files_over(k):
        row(spark, k, "written").write.parquet(env.path("files_over"), mode="overwrite")

    writes = {"over": over, "insert_over": insert_over, "files_over": files_over}
    told = {
        name: beside_a_stream(spark, env, name, saved(spark, env, name), "left", write)
        for name, write in writes.items()
    }
    return dropping(spark, told, *told)


@case(timeout_seconds=60)
def the_output_of_another_query_beside_a_stream(spark, env):
    facts = env.start(env.events("k int, v string", "facts"), name="facts")
    query = env.start(env.events("k int").join(spark.table("facts"), "k", "left"))
    seen = []
    try:
        for number in range(2):
            env.write(f"facts/{number}.json", [{"k": number, "v": f"v{number}"}])
            facts.processAllAvailable()
            env.write(f"in/{number}.json", [{"k": 0}, {"k": 1}])
            query.processAllAvailable()
            seen.append(env.rows(spark.table(query.name)))
        return seen
    finally:
        query.stop()
        facts.stop()
