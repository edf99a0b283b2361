"""Arrays, maps, structs, higher-order functions and generators."""

from pyspark.sql import functions as F

from harness import case

DATA = """select * from values
  (1, array(3, 1, null, 2, 3), map('a', 1, 'b', null), named_struct('x', 1, 'y', 'p'), array('b', 'a'), array(named_struct('k', 'q', 'v', 1), named_struct('k', 'r', 'v', 2))),
  (2, array(), map(), named_struct('x', null, 'y', null), array(null), array()),
  (3, null, null, null, null, null) as t(id, a, m, s, w, r)"""


@case
def array_functions(spark, env):
    return env.evaluate(
        spark.sql(DATA), [
            "size(a)", "cardinality(a)", "array_size(a)", "array_contains(a, 3)", "array_contains(a, 9)",
            "array_position(a, 3)", "array_distinct(a)", "array_sort(a)", "sort_array(a)",
            "sort_array(a, false)", "array_max(a)", "array_min(a)", "array_remove(a, 3)", "array_compact(a)",
            "array_append(a, 9)", "array_prepend(a, 0)", "array_insert(a, 2, 7)", "array_insert(a, -1, 7)",
            "array_union(a, array(9, 3))", "array_intersect(a, array(3, null))", "array_except(a, array(3))",
            "arrays_overlap(a, array(1))", "arrays_overlap(a, array(8, null))", "array_join(w, '-')",
            "array_join(array('x', null), '-', '?')", "array_repeat(id, 2)", "slice(a, 2, 2)",
            "slice(a, -2, 2)", "reverse(a)", "concat(a, array(5))", "flatten(array(a, array(1)))",
            "arrays_zip(a, w)", "element_at(array(1, 2), -1)", "try_element_at(a, 10)", "get(a, 0)",
            "get(a, -1)", "shuffle(array(1))", "array(1, 2.5)", "array()", "exists(a, x -> x = 3)"
        ]
    )


@case
def indexing(spark, env):
    expressions = [
        "a[0]", "a[10]", "a[-1]", "element_at(a, 1)", "element_at(a, 10)", "element_at(a, 0)", "m['a']",
        "m['zz']", "element_at(m, 'zz')", "s.x", "s['y']", "r[0].k", "r.k", "r.v[1]", "elt(1, w[0])"
    ]
    ansi = env.evaluate(spark.sql(DATA), expressions)
    spark.conf.set("spark.sql.ansi.enabled", "false")
    return {"ansi": ansi, "not ansi": env.evaluate(spark.sql(DATA), expressions)}


@case
def map_functions(spark, env):
    return env.evaluate(
        spark.sql(DATA), [
            "map_keys(m)", "map_values(m)", "map_entries(m)", "size(m)", "map_contains_key(m, 'a')",
            "map_concat(m, map('c', 3))", "map_concat(m, map('a', 3))",
            "map_from_arrays(array('p', 'q'), array(1, 2))", "map_from_entries(array(struct('p', 1)))",
            "map('a', 1, 'a', 2)", "map('a')", "map(null, 1)", "map_filter(m, (k, v) -> v is null)",
            "transform_keys(m, (k, v) -> upper(k))", "transform_values(m, (k, v) -> coalesce(v, 0))",
            "map_zip_with(m, map('a', 5), (k, x, y) -> y)", "m = map('a', 1)", "cast(m as string)",
            "str_to_map('a=1,b=2', ',', '=')", "map(1, 'x')[1]"
        ]
    )


@case
def higher_order_functions(spark, env):
    return env.evaluate(
        spark.sql(DATA), [
            "transform(a, x -> x * 2)", "transform(a, (x, i) -> x + i)", "filter(a, x -> x > 1)",
            "filter(a, (x, i) -> i > 0)", "exists(a, x -> x > 5)", "exists(a, x -> x is null)",
            "forall(a, x -> x > 0)", "aggregate(a, 0, (acc, x) -> acc + coalesce(x, 0))",
            "aggregate(a, 0, (acc, x) -> acc + x, acc -> acc * 10)",
            "reduce(a, 0L, (acc, x) -> acc + coalesce(x, 1))", "zip_with(a, w, (x, y) -> concat(x, y))",
            "array_sort(a, (l, r) -> case when l < r then 1 when l > r then -1 else 0 end)",
            "transform(r, x -> x.k || x.v)", "filter(r, x -> x.v > 1)[0].k",
            "aggregate(r, 0, (t, x) -> t + x.v)", "transform(a, x -> x + id)",
            "transform(array(array(1)), x -> transform(x, y -> y + 1))", "filter(a, x -> 'no')"
        ]
    )


@case
def structs(spark, env):
    return env.evaluate(
        spark.sql(DATA), [
            "struct(id, s.x)", "struct(id as i, 'lit' as l)", "named_struct('p', id, 'q', s)", "s.*",
            "struct(*)", "s = named_struct('x', 1, 'y', 'p')", "s < named_struct('x', 2, 'y', 'a')",
            "s is null", "s.x is null", "struct(1, 'a').col1", "inline(r)", "to_json(s)", "s.nope",
            "struct(s.*)"
        ]
    )


@case
def python_api(spark, env):
    df = spark.sql(DATA)
    attempts = {
        "withField": lambda: df.select(F.col("s").withField("z", F.lit(9)).alias("s")),
        "replace field": lambda: df.select(F.col("s").withField("x", F.lit("n")).alias("s")),
        "dropFields": lambda: df.select(F.col("s").dropFields("x").alias("s")),
        "getField": lambda: df.select(df.s.getField("y"), df.s.x, df["s.y"]),
        "getItem": lambda: df.select(df.a.getItem(0), df.m.getItem("a"), df.m["b"]),
        "transform": lambda: df.select(F.transform("a", lambda x: x + 1)),
        "filter": lambda: df.select(F.filter("a", lambda x: x.isNotNull())),
        "create_map": lambda: df.select(F.create_map(F.lit("k"), "id")),
        "explode": lambda: df.select("id", F.explode("a")),
        "explode_outer": lambda: df.select("id", F.explode_outer("m")),
        "posexplode": lambda: df.select("id", F.posexplode("w")),
        "posexplode_outer aliased": lambda: df.select(F.posexplode_outer("w").alias("p", "c")),
        "inline": lambda: df.select(F.inline("r")),
        "struct star": lambda: df.select("id", "s.*"),
        "array of columns": lambda: df.select(F.array("id", F.lit(2)).alias("x")),
        "sort_array": lambda: df.select(F.sort_array("a", asc=False)),
        "two explodes": lambda: df.select(F.explode("a"), F.explode("w")),
        "explode of a number": lambda: df.select(F.explode("id")),
        "nested explode": lambda: df.select(F.explode(F.array(F.array(F.lit(1)))).alias("x")).
        select(F.explode("x")),
        "explode in where": lambda: df.where(F.explode("a") > 1),
    }
    return {name: env.attempt(lambda: env.table(build(), ordered=True)) for name, build in attempts.items()}


@case
def lateral_views(spark, env):
    spark.sql(DATA).createOrReplaceTempView("t")
    return env.queries(
        [
            "select id, x from t lateral view explode(a) as x order by id, x",
            "select id, x from t lateral view outer explode(a) v as x order by id, x",
            "select id, k, v from t lateral view explode(m) as k, v order by id, k",
            "select id, p, x from t lateral view posexplode(w) as p, x order by 1, 2",
            "select id, k, v from t lateral view inline(r) order by 1, 2",
            (
                "select id, x, y from t lateral view explode(a) as x lateral view explode(w) as y where x = "
                "3 order by 1, 2, 3"
            ),
            "select id, stack(2, id, 'a', 10, 'b') from t where id = 1", "select * from explode(array(1, 2))",
            "select id, z.col from t, lateral explode(a) z order by 1, 2", "select * from range(3)",
            "select explode(a) + 1 from t"
        ],
        ordered=True
    )
