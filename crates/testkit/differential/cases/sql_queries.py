"""SQL text over temporary views: clauses, subqueries, window functions, set operations, streams."""

from harness import case

SALES = (
    "create or replace temp view sales as select * from values (1, 'n', 'a', 10.0D, date'2024-01-01'), (2, "
    "'n', 'b', 20.0D, date'2024-01-02'), (3, 's', 'a', 5.0D, date'2024-01-03'), (4, 's', null, null, null), "
    "(5, 'w', 'c', 20.0D, date'2024-01-02') as t(id, region, item, price, day)"
)


@case
def select_clauses(spark, env):
    spark.sql(SALES)
    return env.queries(
        [
            "select 1 as one, 'x' y, null n",
            "select * from sales where price > 5 and region != 'w' order by id",
            "select distinct region from sales order by region desc",
            (
                "select region r, sum(price) total from sales group by region having sum(price) > 5 order "
                "by total desc, r"
            ),
            "select region, item, count(*) from sales group by 1, 2 order by all",
            "select item from sales order by item", "select item from sales order by item desc",
            "select item from sales order by item nulls last",
            "select item from sales order by item desc nulls first",
            "select id from sales order by price desc, id limit 2",
            "select id from sales order by id limit 2 offset 1",
            "select id, price * 2 as p2, p2 + 1 as p3 from sales where id = 1",
            "select sales.id, s2.id from sales join sales s2 on sales.id = s2.id - 4",
            "select `id` as `odd name` from sales where id = 1",
            "select id from sales where item like 'a%' or item is null order by id",
            "select id from sales where day between '2024-01-01' and '2024-01-02' order by id",
            (
                "select case when price is null then 'none' when price >= 20 then 'high' else 'low' end c, "
                "count(*) from sales group by all order by c"
            ),
            "select * except (day, price) from sales where id = 1",
            "select count(*) filter (where price > 5), count(distinct region) from sales",
            "select max(id) from sales where false",
            "select id id from sales group by id order by id limit 1", "from sales select id where id = 2",
            "select sum(price) from sales group by region order by region"
        ],
        ordered=True
    )


@case
def subqueries_and_ctes(spark, env):
    spark.sql(SALES)
    return env.queries(
        [
            (
                "with r as (select region, sum(price) s from sales group by region) select * from r where s "
                "> 6 order by region"
            ),
            "with a as (select 1 x), b as (select x + 1 y from a) select * from a, b",
            "select id from sales where price = (select max(price) from sales) order by id",
            "select id from sales s where price > (select avg(price) from sales t where t.region = s.region)",
            "select * from (select region, rank() over (order by region) k from sales) where k = 1 order by 1",
            "select id from sales where region in (select region from sales where item = 'a') order by id",
            "select (select count(*) from sales) n", "select exists(select 1 from sales where id = 9) e",
            "select (select id from sales) x",
            "select * from values (1, 'a'), (2, 'b') as v(n, s) order by n",
            "select s.* from (select id from sales where id < 3) s order by 1",
            "with r as (select 1) select * from q",
            "with recursive t(n) as (select 1 union all select n + 1 from t where n < 4) select sum(n) from t"
        ],
        ordered=True
    )


@case
def set_operations(spark, env):
    return env.queries(
        [
            "select 1 a union select 1 union all select 2.5", "select 1 union all select '2'",
            "select 1 intersect select 1", "values (1), (1), (2) intersect all values (1), (1)",
            "values (1), (1), (2) except values (2)", "values (1), (1), (2) except all values (1)",
            "select 1, 2 union select 1", "select 1 minus select 1",
            "select array(1) union select array('a')", "select null union select 1"
        ]
    )


@case
def window_functions(spark, env):
    spark.sql(SALES)
    over = "over (partition by region order by price)"
    return env.queries(
        [
            f"select id, {f} as v from sales order by id" for f in (
                f"row_number() {over}", "rank() over (order by price)",
                "dense_rank() over (order by price desc)", "percent_rank() over (order by price)",
                "cume_dist() over (order by id)", "ntile(2) over (order by id)", "lag(id) over (order by id)",
                "lag(id, 2, -1) over (order by id)", "lead(item) over (order by id)",
                "lead(item) ignore nulls over (order by id)", f"first_value(price) {over}",
                f"last_value(price) {over}", "last(item, true) over (order by id)",
                "nth_value(id, 2) over (order by id)", "sum(price) over (partition by region)",
                "sum(price) over (order by id rows between unbounded preceding and current row)",
                "avg(price) over (order by id rows between 1 preceding and 1 following)",
                "count(*) over (order by price)", "count(*) over ()",
                "sum(id) over (order by day range between interval 1 day preceding and current row)",
                "max(id) over (order by id range between 1 following and 2 following)",
                "row_number() over (partition by region)", "sum(sum(1)) over ()",
                "collect_list(id) over (order by id rows 1 preceding)"
            )
        ] + [
            (
                "select region, sum(price) s, rank() over (order by sum(price) desc) r from sales group by "
                "region order by r"
            ),
            "select id, sum(id) over w x from sales window w as (order by id) order by id",
            "select id from sales qualify row_number() over (partition by region order by id) = 1 order by id"
        ],
        ordered=True
    )


@case
def grouping_sets_and_pivot(spark, env):
    spark.sql(SALES)
    return env.queries(
        [
            "select region, item, sum(price), grouping_id() from sales group by region, item with rollup",
            "select region, item, count(*) from sales group by cube (region, item)",
            "select region, item, count(*) from sales group by grouping sets ((region), (item), ())",
            "select region, grouping(region), count(*) from sales group by rollup (region)",
            "select * from (select region, item, price from sales) pivot (sum(price) for item in ('a', 'b'))",
            "select * from (select 1 x, 2 y) unpivot (v for k in (x, y))"
        ]
    )


@case
def statements(spark, env):
    spark.sql(SALES)
    return {
        "create view": env.attempt(lambda: env.table(spark.sql("create temp view v1 as select 1 as a"))),
        "again": env.error(lambda: spark.sql("create temp view v1 as select 1 as a")),
        "describe": env.attempt(lambda: env.table(spark.sql("describe sales"), ordered=True)),
        "drop view": env.attempt(lambda: env.table(spark.sql("drop view v1"))),
        "set": env.attempt(lambda: env.table(spark.sql("set spark.sql.shuffle.partitions"))),
        "set value": env.attempt(lambda: env.table(spark.sql("set spark.sql.shuffle.partitions=3"))),
        "conf": spark.conf.get("spark.sql.shuffle.partitions"),
        "show views": env.attempt(lambda: env.table(spark.sql("show views"))),
        "parameters": env.
        attempt(lambda: env.rows(spark.sql("select id from sales where id = :n", args={"n": 2}))),
        "positional": env.attempt(lambda: env.rows(spark.sql("select ? + 1", args=[4]))),
        "catalog": [t.name for t in spark.catalog.listTables()],
        "table exists": spark.catalog.tableExists("sales"),
        "dropTempView": spark.catalog.dropTempView("sales"),
        "current_database": env.
        attempt(lambda: env.rows(spark.sql("select current_database(), current_catalog()")))
    }


@case
def parse_errors(spark, env):
    return {
        q: env.error(lambda: spark.sql(q).collect())
        for q in (
            "selec 1", "select", "select 1 +", "select * from", "select 'open", "select 1 a b",
            "select * from nowhere", "select nope", "select f(1)", "select 1 from t group", "select sum(1",
            "insert into v values (1)", "", "select 1; select 2", "select 1;", "-- only a comment"
        )
    }


@case
def literals_and_names(spark, env):
    return env.evaluate(
        spark.sql("select 1 as a, 2 as `b c`, named_struct('d', 3) as s"), [
            "1", "1L", "1S", "1Y", "1.0", "1D", "1F", "1BD", "'a''b'", "'a' 'b'", "\"dq\"", "r'\\n'", "'\\n'",
            "'\\u0041'", "X'1F'", "date'2024-01-02'", "date'2024-1-2'", "timestamp'2024-01-02'",
            "timestamp'2024-01-02T03:04:05Z'", "timestamp_ntz'2024-01-02 03:04:05'", "interval 5 minutes",
            "true", "null", "`a`", "`b c`", "s.d", "s.`d`", "A", "array(1)[0]", "a::string",
            "cast(a as string)", "!true", "1 <> 2", "1 != 2", "1 == 1", "5 div 2", "a between 0 and 2",
            "a in (1)", "-a", "~a", "1 is distinct from null", "date'nope'", "1e", "9223372036854775808",
            "2147483648", "'x' || 1", "10 % 3", "2 ^ 3", "not true or true", "1 = 1 = true"
        ]
    )


@case
def streams_in_sql(spark, env):
    env.events("k string, v int").createOrReplaceTempView("events")
    static = spark.createDataFrame([("a", "first"), ("b", "second")], "k string, name string")
    static.createOrReplaceTempView("names")
    grouped = spark.sql(
        (
            "select n.name, sum(e.v) as total, count(*) as n from events e join names n on e.k = n.k where "
            "v > 0 group by n.name having sum(e.v) > 1"
        )
    )
    told = {
        "streaming": spark.table("events").isStreaming,
        "run": env.run_stream(
            grouped, "update", [
                [{
                    "k": "a",
                    "v": 1
                }, {"k": "b", "v": 5}], [{"k": "a", "v": 2}, {"k": "z", "v": 9}, {"k": "b", "v": -1}]
            ]
        )
    }
    told["readStream.table"] = spark.readStream.table("events").isStreaming
    told["collect"] = env.error(lambda: spark.sql("select * from events").collect())
    return told


@case
def lateral_subqueries_without_a_table(spark, env):
    spark.sql("select * from values (1, 'a'), (2, 'b') as v(n, s)").createOrReplaceTempView("t")
    return env.queries([
        "select * from t, lateral (select n + 1 as m)", "select * from t, lateral (select t.n + 1 as q)",
        "select t.s, x.m, y.k from t, lateral (select n + 1 as m) x, lateral (select m * 2 as k) as y",
        "select x.* from t, lateral (select n, upper(s)) as x(a, b) where a > 1", "select * from t, lateral (select 1 as n) x where x.n = t.n",
        "select * from t left join lateral (select n * n as q) on true", "select * from t join lateral (select n * n as q) on q > 1",
        "select * from t, lateral (select n, s) as x(a)",
    ])
