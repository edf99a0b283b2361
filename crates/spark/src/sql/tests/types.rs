//! Types, schemas, parameters and names.

use spark_connect_proto::expression::ExprType;
use spark_connect_proto::expression::literal::LiteralType;

use super::*;

#[test]
fn types_and_schemas() {
    check(
        ddl,
        &[
            ("int", "int"),
            ("decimal(10,2)", "decimal(10,2)"),
            ("dec", "decimal(10,0)"),
            ("numeric(5)", "decimal(5,0)"),
            (
                "array<map<string,array<int>>>",
                "array<map<string,array<int>>>",
            ),
            ("struct<>", "struct<>"),
            ("timestamp_ltz", "timestamp"),
            ("timestamp without time zone", "timestamp_ntz"),
            ("interval day to second", "interval day to second"),
            ("interval month", "interval month"),
            ("interval", "interval"),
            ("varchar(5)", "varchar(5)"),
            ("time(3)", "time(3)"),
            ("string collate utf8_lcase", "string collate UTF8_LCASE"),
            ("a int, b string", "struct<a:int,b:string>"),
            (
                "a: int, b: struct<c: date>",
                "struct<a:int,b:struct<c:date>>",
            ),
            (
                "a int not null comment 'it''s', `b c` struct<x:string,y:array<int>> COMMENT 'c'",
                r#"struct<a:int not null {"comment":"it's"},b c:struct<x:string,y:array<int>> {"comment":"c"}>"#,
            ),
            ("from int, select string", "struct<from:int,select:string>"),
            ("a foo", "UNSUPPORTED_DATATYPE"),
            ("a int,", "PARSE_SYNTAX_ERROR"),
            ("", "struct<>"),
        ],
    );
}

#[test]
fn types_alone_report_what_is_missing() {
    let class = |text| parse_data_type(text).unwrap_err().class();
    assert_eq!(class("array"), "INCOMPLETE_TYPE_DEFINITION.ARRAY");
    assert_eq!(class("map"), "INCOMPLETE_TYPE_DEFINITION.MAP");
    assert_eq!(class("struct"), "INCOMPLETE_TYPE_DEFINITION.STRUCT");
    assert_eq!(class("char"), "DATATYPE_MISSING_SIZE");
    assert_eq!(
        class("decimal(50,2)"),
        "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION"
    );
    assert_eq!(class("decimal(10,20)"), "DECIMAL_SCALE_EXCEEDS_PRECISION");
    assert_eq!(class("interval second to day"), "UNSUPPORTED_DATATYPE");
}

fn number(value: i32) -> Expression {
    construct::literal(LiteralType::Integer(value))
}

#[test]
fn parameters_are_replaced_by_their_values() {
    let named = HashMap::from([
        ("p".to_owned(), number(7)),
        ("t".to_owned(), construct::string("a.b")),
    ]);
    let sql = Sql {
        query: "select :p + 1 from identifier(:t) where x > :p limit :p".to_owned(),
        named_arguments: named,
        ..Default::default()
    };
    let statement = parse_sql_relation(&sql, "UTC").unwrap();
    assert_eq!(
        render::statement(&statement),
        "limit(project(filter(a.b; >(x, 7)); +(7, 1)); 7)"
    );
    let sql = Sql {
        query: "select ?, trim(? from ?)".to_owned(),
        pos_arguments: vec![number(1), construct::string("x"), number(3)],
        ..Default::default()
    };
    let statement = parse_sql_relation(&sql, "UTC").unwrap();
    assert_eq!(
        render::statement(&statement),
        "project(one row; 1, trim('x', 3))"
    );
}

#[test]
#[allow(deprecated)]
fn arguments_of_old_clients_are_literals() {
    let Some(ExprType::Literal(seven)) = number(7).expr_type else {
        unreachable!()
    };
    let args = HashMap::from([("p".to_owned(), seven)]);
    let sql = Sql {
        query: "select :p".to_owned(),
        args,
        ..Default::default()
    };
    let statement = parse_sql_relation(&sql, "UTC").unwrap();
    assert_eq!(render::statement(&statement), "project(one row; 7)");
}

#[test]
fn unbound_parameters_are_refused_by_name() {
    let error = parse_query("select :p").unwrap_err();
    assert_eq!(error.class(), "UNBOUND_SQL_PARAMETER");
    assert_eq!(error.parameters(), [("name", "p".to_owned())]);
    assert_eq!(
        parse_query("select ?").unwrap_err().parameters(),
        [("name", "_7".to_owned())]
    );
}

#[test]
fn timestamps_are_read_in_the_session_zone() {
    let options = ParseOptions {
        session_time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    };
    let parsed = options
        .parse_expression("timestamp '1970-01-01 01:00:00'")
        .unwrap();
    assert_eq!(render::expression(&parsed.expression), "timestamp 0");
}

#[test]
fn a_subquery_needs_a_query_around_it() {
    let error = parse_expression("a in (select 1)").unwrap_err();
    assert_eq!(error.class(), "UNSUPPORTED_FEATURE.SQL");
}

#[test]
fn subqueries_and_references_share_ids() {
    let options = ParseOptions::default();
    let parsed = options.parse_expression("a in (select 1)").unwrap();
    let Some(ExprType::SubqueryExpression(subquery)) = &parsed.expression.expr_type else {
        panic!("no subquery")
    };
    let reference = parsed.references[0].common.as_ref().unwrap();
    assert_eq!(reference.plan_id, Some(subquery.plan_id));
    assert!(subquery.plan_id < 0);
}

#[test]
fn names_come_apart_and_together() {
    assert_eq!(parse_multipart_identifier("a.`b.c`").unwrap(), ["a", "b.c"]);
    assert_eq!(
        quote_parts(&["a".to_owned(), "b.c".to_owned(), "d`".to_owned()]),
        "a.`b.c`.`d```"
    );
    assert!(parse_multipart_identifier("a.").is_err());
}
