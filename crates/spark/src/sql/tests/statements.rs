//! Statements, each with the relation or command it becomes.

use super::*;

#[test]
fn selects() {
    check(
        query,
        &[
            ("select 1", "project(one row; 1)"),
            ("select a, b + 1 as c from t", "project(t; a, +(b, 1) AS c)"),
            (
                "select * from t where a > 1",
                "project(filter(t; >(a, 1)); *)",
            ),
            ("select distinct a from t", "distinct(project(t; a))"),
            ("select all a from t", "project(t; a)"),
            (
                "select 1 where true",
                "project(filter(project(one row; ); true); 1)",
            ),
            ("select a.* from t a", "project(t AS a; a.*)"),
            (
                "select a, count(*) from t group by a having count(*) > 1 order by a desc nulls first limit 3 offset 2",
                "limit(offset(sort(filter(aggregate(t; a; a, count(1)); >(count(1), 1)); a desc first); 2); 3)",
            ),
            (
                "select count(*) from t having count(*) > 1",
                "filter(aggregate(t; ; count(1)); >(count(1), 1))",
            ),
            ("select a from t group by 1, b", "aggregate(t; 1, b; a)"),
            ("select a from t group by all", "aggregate(t; all; a)"),
            (
                "select a, b, count(*) from t group by rollup(a, b)",
                "aggregate(t; a, b; a, b, count(1); sets (a, b), (a), ())",
            ),
            (
                "select a, b, count(*) from t group by a, b with rollup",
                "aggregate(t; a, b; a, b, count(1); sets (a, b), (a), ())",
            ),
            (
                "select count(*) from t group by cube(a, (b, c))",
                "aggregate(t; a, b, c; count(1); sets (a, b, c), (a), (b, c), ())",
            ),
            (
                "select count(*) from t group by grouping sets ((a), ())",
                "aggregate(t; a; count(1); sets (a), ())",
            ),
            (
                "select count(*) from t group by a, grouping sets ((b), ())",
                "aggregate(t; a, b; count(1); sets (a, b), (a))",
            ),
            (
                "select count(*) from t group by a, b grouping sets ((a), (b))",
                "aggregate(t; a, b; count(1); sets (a), (b))",
            ),
            (
                "select a from t sort by a",
                "local sort(project(t; a); a asc first)",
            ),
            (
                "select a from t distribute by a sort by b",
                "local sort(repartition(project(t; a); a); b asc first)",
            ),
            (
                "select a from t cluster by a",
                "local sort(repartition(project(t; a); a); a asc first)",
            ),
            (
                "select a from t order by 1",
                "sort(project(t; a); 1 asc first)",
            ),
            ("select a from t limit 1 + 1", "limit(project(t; a); 2)"),
            ("select a from t limit all", "project(t; a)"),
            ("select * except (a, b) from t", "drop(t; a, b)"),
            ("select * except (a), b from t", "UNSUPPORTED_FEATURE.SQL"),
            (
                "select a, sum(b) over w from t window w as (partition by c order by d)",
                "project(t; a, sum(b) over (c order d asc first))",
            ),
            ("select /*+ broadcast(t) */ a from t", "project(t; a)"),
            ("from t select a where b", "project(filter(t; b); a)"),
            ("table t", "t"),
            (
                "select a from t order by a sort by b",
                "UNSUPPORTED_FEATURE.COMBINATION_QUERY_RESULT_CLAUSES",
            ),
            ("select a from t |> where a", "UNSUPPORTED_FEATURE.SQL"),
            (
                "select a from t qualify row_number() over (order by a) = 1",
                "filter(project(t; a); #qualify(==(row_number() over ( order a asc first), 1)))",
            ),
        ],
    );
}

#[test]
fn set_operations() {
    check(
        query,
        &[
            (
                "select a from t union select b from u",
                "union(project(t; a); project(u; b))",
            ),
            (
                "select a from t union all select b from u union all select c from v",
                "union all(union all(project(t; a); project(u; b)); project(v; c))",
            ),
            (
                "select a from t union select b from u intersect select c from v",
                "union(project(t; a); intersect(project(u; b); project(v; c)))",
            ),
            (
                "select a from t except all select b from u",
                "except all(project(t; a); project(u; b))",
            ),
            (
                "select a from t minus select b from u",
                "except(project(t; a); project(u; b))",
            ),
            (
                "(select a from t) union all (select b from u) order by 1 limit 2",
                "limit(sort(union all(project(t; a); project(u; b)); 1 asc first); 2)",
            ),
            (
                "(select 1 limit 1) union (select 2 limit 2) limit 1",
                "limit(union(limit(project(one row; 1); 1); limit(project(one row; 2); 2)); 1)",
            ),
            (
                "values 1, 2",
                "union all(project(one row; 1 AS col1); project(one row; 2 AS col1))",
            ),
            (
                "values (1, 'a'), (2, 'b')",
                "union all(project(one row; 1 AS col1, 'a' AS col2); project(one row; 2 AS col1, 'b' AS col2))",
            ),
            (
                "values (1, 2), (3)",
                "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
            ),
        ],
    );
}

#[test]
fn relations_of_from() {
    check(
        query,
        &[
            ("select * from t x", "project(t AS x; *)"),
            ("select * from t as x(a, b)", "project(t(a, b) AS x; *)"),
            (
                "select * from db.`my t` where a",
                "project(filter(db.`my t`; a); *)",
            ),
            (
                "select * from parquet.`/data/x`",
                "project(parquet.`/data/x`; *)",
            ),
            (
                "select * from (select 1 as a) x",
                "project(project(one row; 1 AS a) AS x; *)",
            ),
            (
                "select * from (select 1) as t(x)",
                "project(project(one row; 1)(x) AS t; *)",
            ),
            (
                "select * from t a, u b where a.x = b.x",
                "project(filter(inner join(t AS a; u AS b); ==(a.x, b.x)); *)",
            ),
            (
                "select * from t join u on a = b",
                "project(inner join(t; u; ==(a, b)); *)",
            ),
            (
                "select * from t left outer join u using (a, b)",
                "project(left join(t; u; using a, b); *)",
            ),
            (
                "select * from t right join u on true full join w on true",
                "project(full join(right join(t; u; true); w; true); *)",
            ),
            (
                "select * from t left semi join u on a = b",
                "project(semi join(t; u; ==(a, b)); *)",
            ),
            (
                "select * from t anti join u on a = b",
                "project(anti join(t; u; ==(a, b)); *)",
            ),
            (
                "select * from t cross join u",
                "project(cross join(t; u); *)",
            ),
            (
                "select * from t natural join u",
                "project(inner join(t; u; #natural_join()); *)",
            ),
            (
                "select * from (t join u on a = b) x",
                "project(inner join(t; u; ==(a, b)) AS x; *)",
            ),
            (
                "select * from t a join (u b join v c on 1 = 1) on 2 = 2",
                "project(inner join(t AS a; inner join(u AS b; v AS c; ==(1, 1)); ==(2, 2)); *)",
            ),
            ("select * from range(10)", "project(range(10); *)"),
            (
                "select * from range(0, 10, 1, 2) r",
                "project(range(0, 10, 1, 2) AS r; *)",
            ),
            (
                "select * from explode(array(1, 2)) as e(x)",
                "project(explode(array(1, 2))(x) AS e; *)",
            ),
            (
                "select * from t lateral view explode(x) e as c",
                "project(inner lateral(t; explode(x)(c) AS e); *)",
            ),
            (
                "select * from t lateral view outer explode(m) e as k, v where k",
                "project(filter(left lateral(t; explode(m)(k, v) AS e); k); *)",
            ),
            (
                "select * from t lateral view explode(x) e lateral view explode(e.y) f as z",
                "project(inner lateral(inner lateral(t; explode(x) AS e); explode(e.y)(z) AS f); *)",
            ),
            (
                "select * from t, lateral explode(x) as e(c)",
                "project(inner lateral(t; explode(x)(c) AS e); *)",
            ),
            (
                "select * from t left join lateral (select 1 as a) on true",
                "project(left lateral(t; project(one row; 1 AS a); true); *)",
            ),
            (
                "select * from values (1, 'a') as v(x, y)",
                "project(project(one row; 1 AS col1, 'a' AS col2)(x, y) AS v; *)",
            ),
            (
                "select * from t tablesample (10 percent) repeatable (3)",
                "project(sample(t; 0.1 seed 3); *)",
            ),
            (
                "select * from t tablesample (5 rows) x",
                "project(limit(t AS x; 5); *)",
            ),
            (
                "select * from t tablesample (bucket 1 out of 4)",
                "project(sample(t; 0.25); *)",
            ),
            ("select * from identifier('db.t')", "project(db.t; *)"),
            (
                "select * from f(table(t), 1)",
                "project(f(table-subquery(), 1); *) where [t]",
            ),
            (
                "select * from f(table(select 1) partition by a order by b)",
                "project(f(table-subquery()); *) where [project(one row; 1)]",
            ),
            ("select * from t version as of 1", "UNSUPPORTED_FEATURE.SQL"),
            (
                "select * from t pivot (sum(x) for y in (1, 2))",
                "project(aggregate(t; #remaining_columns(null, null); sum(x)); *)",
            ),
            ("select * from my-table", "INVALID_IDENTIFIER"),
        ],
    );
}

#[test]
fn streams_and_watermarks() {
    check(
        query,
        &[
            ("select * from stream t", "project(stream t; *)"),
            ("select * from stream(a.b) x", "project(stream a.b AS x; *)"),
            (
                "select * from stream t with (opt = 'v', 'n' = 1)",
                "project(stream t {n=1, opt=v}; *)",
            ),
            ("select * from stream", "project(stream; *)"),
            ("select * from stream range(10)", "project(range(10); *)"),
            (
                "select * from stream t watermark ts delay of interval 10 minutes",
                "project(watermark(stream t; ts; 10 minutes); *)",
            ),
            (
                "select * from stream t watermark to_timestamp(ts) as time delay of interval 1 day 30 seconds as x",
                "project(watermark(project(stream t AS x; to_timestamp(ts) AS time, *); time; 24 hours 30 seconds); *)",
            ),
            (
                "select * from stream t watermark ts delay of interval 1 hour join stream u watermark ts2 delay of interval '0:30' hour to minute on a = b",
                "project(inner join(watermark(stream t; ts; 1 hours); watermark(stream u; ts2; 30 minutes); ==(a, b)); *)",
            ),
            (
                "select * from (select 1 as ts) watermark ts delay of interval 1 minute x",
                "project(watermark(project(one row; 1 AS ts) AS x; ts; 1 minutes); *)",
            ),
            (
                "select * from stream t watermark a.ts delay of interval 1 second",
                "project(watermark(stream t; a.ts; 1 seconds); *)",
            ),
            (
                "select * from t watermark a + 1 delay of interval 1 second",
                "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE",
            ),
            (
                "select * from stream t identified by n",
                "UNSUPPORTED_FEATURE.SQL",
            ),
        ],
    );
}

#[test]
fn common_tables_and_subqueries() {
    check(
        query,
        &[
            (
                "with x as (select 1 as a) select * from x",
                "project(project(one row; 1 AS a) AS x; *)",
            ),
            (
                "with x(b) as (select 1 as a) select * from x y",
                "project(project(one row; 1 AS a)(b) AS x AS y; *)",
            ),
            (
                "with x as (select 1 as a), y as (select * from x) select * from y, X",
                "project(inner join(project(project(one row; 1 AS a) AS x; *) AS y; project(one row; 1 AS a) AS x); *)",
            ),
            (
                "with x as (select 1) select * from (with x as (select 2) select * from x)",
                "project(project(project(one row; 2) AS x; *); *)",
            ),
            (
                "with x as (select 1), x as (select 2) select 1",
                "DUPLICATED_CTE_NAMES",
            ),
            (
                "with recursive x as (select 1) select * from x",
                "UNSUPPORTED_FEATURE.SQL",
            ),
            (
                "select * from t where a in (select b from u)",
                "project(filter(t; in-subquery(a)); *) where [project(u; b)]",
            ),
            (
                "select (select max(a) from u) from t where exists (select 1 from v)",
                "project(filter(t; exists-subquery()); scalar-subquery()) where [project(u; max(a)), project(v; 1)]",
            ),
            (
                "select * from t where ((select 1) + 2) > 3",
                "project(filter(t; >(+(scalar-subquery(), 2), 3)); *) where [project(one row; 1)]",
            ),
            (
                "select * from ((select 1) union (select 2)) x",
                "project(union(project(one row; 1); project(one row; 2)) AS x; *)",
            ),
            (
                "select * from t where (a, b) not in (select c, d from u)",
                "project(filter(t; not(in-subquery(a, b))); *) where [project(u; c, d)]",
            ),
        ],
    );
}

#[test]
fn commands_carry_their_protos() {
    check(
        query,
        &[
            (
                "create temp view v as select 1",
                "create view v global false replace false: project(one row; 1)",
            ),
            (
                "create or replace global temporary view v (a comment 'c', b) as select 1, 2",
                "create view v global true replace true: project(one row; 1, 2)(a, b)",
            ),
            (
                "create temp view v using csv options (path '/x')",
                "create view v global false replace false: csv {path=/x}",
            ),
            (
                "create temp view if not exists v as select 1",
                "_LEGACY_ERROR",
            ),
            (
                "create table t (a int not null comment 'c', b string) using parquet options (k 'v', 'a.b' = 1, h = true) partitioned by (b) location '/x'",
                r#"create table t if not exists false replace false schema struct<a:int not null {"comment":"c"},b:string> using parquet options {a.b=1, h=true, k=v} partitioned by b location /x"#,
            ),
            (
                "create table if not exists t using delta as select 1",
                "create table t if not exists true replace false using delta as project(one row; 1)",
            ),
            (
                "create or replace table t using delta as select 1",
                "create table t if not exists false replace true using delta as project(one row; 1)",
            ),
            (
                "create table t (a int) partitioned by (b string)",
                "create table t if not exists false replace false schema struct<a:int,b:string> partitioned by b",
            ),
            (
                "create table t (a int default 1)",
                "UNSUPPORTED_FEATURE.SQL",
            ),
            ("create view v as select 1", "UNSUPPORTED_FEATURE.SQL"),
            (
                "insert into t select 1",
                "insert t overwrite false columns () by name false partition (): project(one row; 1)",
            ),
            (
                "insert into table t values (1, 2)",
                "insert t overwrite false columns () by name false partition (): project(one row; 1 AS col1, 2 AS col2)",
            ),
            (
                "insert into t (a, b) select 1, 2",
                "insert t overwrite false columns (a, b) by name false partition (): project(one row; 1, 2)",
            ),
            (
                "insert into t by name select 1 as a",
                "insert t overwrite false columns () by name true partition (): project(one row; 1 AS a)",
            ),
            (
                "insert overwrite table t partition (a = 1, b) select 1",
                "insert t overwrite true columns () by name false partition (a=1, b): project(one row; 1)",
            ),
            (
                "with x as (select 1) insert into t select * from x",
                "insert t overwrite false columns () by name false partition (): project(project(one row; 1) AS x; *)",
            ),
            (
                "drop table if exists a.t purge",
                r#"DropTable(DropTable { table_name: "a.t", if_exists: true, purge: true })"#,
            ),
            (
                "drop view v",
                r#"DropView(DropView { view_name: "v", if_exists: false })"#,
            ),
            (
                "truncate table t",
                r#"TruncateTable(TruncateTable { table_name: "t" })"#,
            ),
            (
                "create database if not exists d comment 'c'",
                "create database d if not exists true {comment=c}",
            ),
            (
                "drop schema d cascade",
                r#"DropDatabase(DropDatabase { db_name: "d", if_exists: false, cascade: true })"#,
            ),
            ("use db", r#"UseDatabase { name: "db" }"#),
            (
                "show tables",
                "ShowTables(Listing { database: None, pattern: None })",
            ),
            (
                "show tables in db like 'x*'",
                r#"ShowTables(Listing { database: Some("db"), pattern: Some("x*") })"#,
            ),
            (
                "show views 'x*'",
                r#"ShowViews(Listing { database: None, pattern: Some("x*") })"#,
            ),
            (
                "show databases",
                "ShowDatabases(Listing { database: None, pattern: None })",
            ),
            (
                "show columns in t in db",
                r#"ShowColumns { table: "db.t" }"#,
            ),
            (
                "describe t",
                r#"DescribeTable { table: "t", extended: false }"#,
            ),
            (
                "desc table extended t",
                r#"DescribeTable { table: "t", extended: true }"#,
            ),
            ("describe query select 1", "describe project(one row; 1)"),
            ("set", "Set(Show { verbose: false })"),
            ("set -v", "Set(Show { verbose: true })"),
            ("set a.b", r#"Set(Get("a.b"))"#),
            ("set a.b = c d;", r#"Set(Put("a.b", "c d"))"#),
            ("set `a b` = `x;y`", r#"Set(Put("a b", "x;y"))"#),
            (
                "SET TIME ZONE 'Europe/Berlin'",
                r#"Set(Put("spark.sql.session.timeZone", "Europe/Berlin"))"#,
            ),
            ("set a b", "INVALID_SET_SYNTAX"),
            ("reset", "Reset { key: None }"),
            ("reset a.b", r#"Reset { key: Some("a.b") }"#),
            (
                "explain extended select 1",
                "explain Extended project(one row; 1)",
            ),
            (
                "explain show tables",
                "explain Simple ShowTables(Listing { database: None, pattern: None })",
            ),
            (
                "cache lazy table t options ('storageLevel' 'DISK_ONLY') as select 1",
                "cache t lazy true {storageLevel=DISK_ONLY}: project(one row; 1)",
            ),
            (
                "uncache table if exists t",
                r#"UncacheTable { table: "t", if_exists: true }"#,
            ),
            ("clear cache", "ClearCache"),
            ("refresh table t", r#"RefreshTable { table: "t" }"#),
            (
                "alter table t add columns (x int)",
                "UNSUPPORTED_FEATURE.SQL",
            ),
            (
                "merge into t using u on a = b when matched then delete",
                "UNSUPPORTED_FEATURE.SQL",
            ),
            ("blah", "PARSE_SYNTAX_ERROR"),
            ("select 1; select 2", "PARSE_SYNTAX_ERROR"),
            ("", "PARSE_EMPTY_STATEMENT"),
        ],
    );
}
