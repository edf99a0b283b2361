//! Trees of random expressions, compared with those that Spark's parser builds.
//!
//! `spark-4.3.0-trees.tsv` has an expression and Catalyst's `toString` of its tree a line. The
//! expressions mix all operators and predicates without regard for sense: what they test is what
//! binds to what.

use spark_connect_proto::expression::ExprType;
use spark_connect_proto::expression::literal::LiteralType;

use super::*;

fn child(expression: &Option<Box<Expression>>) -> String {
    catalyst(expression.as_ref().unwrap())
}

/// The tree as Catalyst prints it, as far as the recorded expressions need it.
fn catalyst(expression: &Expression) -> String {
    match expression.expr_type.as_ref().unwrap() {
        ExprType::UnresolvedAttribute(column) => format!("'{}", column.unparsed_identifier),
        ExprType::Literal(literal) => match literal.literal_type.as_ref().unwrap() {
            LiteralType::String(value) => value.clone(),
            LiteralType::Integer(value) => value.to_string(),
            LiteralType::Long(value) => value.to_string(),
            LiteralType::Boolean(value) => value.to_string(),
            other => panic!("no tree has {other:?}"),
        },
        ExprType::UnresolvedExtractValue(extract) => {
            format!("{}[{}]", child(&extract.child), child(&extract.extraction))
        }
        ExprType::Cast(cast) => format!("cast({} as int)", child(&cast.expr)),
        ExprType::UnresolvedFunction(call) => {
            let arguments: Vec<String> = call.arguments.iter().map(catalyst).collect();
            self::call(&call.function_name, &arguments)
        }
        other => panic!("no tree has {other:?}"),
    }
}

fn call(name: &str, arguments: &[String]) -> String {
    let operator = match name {
        "==" => "=",
        "and" => "AND",
        "or" => "OR",
        "shiftleft" => "<<",
        "shiftright" => ">>",
        "shiftrightunsigned" => ">>>",
        other => other,
    };
    match (name, arguments) {
        ("not", [a]) => format!("NOT {a}"),
        ("-", [a]) => format!("-{a}"),
        ("~", [a]) => format!("~{a}"),
        ("positive", [a]) => format!("positive({a})"),
        ("isNull", [a]) => format!("isnull({a})"),
        ("isNotNull", [a]) => format!("isnotnull({a})"),
        ("concat", [a, b]) => format!("concat({a}, {b})"),
        ("like", [a, b]) => format!("{a} LIKE {b}"),
        ("rlike", [a, b]) => format!("RLIKE({a}, {b})"),
        ("in", [a, rest @ ..]) => format!("{a} IN ({})", rest.join(",")),
        ("when", [a, b, c]) => format!("CASE WHEN {a} THEN {b} ELSE {c} END"),
        ("between" | "f", all) => format!("'{name}({})", all.join(", ")),
        (_, [a, b]) => format!("({a} {operator} {b})"),
        _ => panic!("no tree has {name}"),
    }
}

#[test]
fn operators_bind_as_in_spark_whatever_their_mix() {
    let mut differing = Vec::new();
    let trees = include_str!("spark-4.3.0-trees.tsv");
    for line in trees.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once('\t').unwrap();
        let actual = parse_expression(text).map_or_else(|e| e.to_string(), |e| catalyst(&e));
        if actual != expected {
            differing.push(format!(
                "{text}\n  Spark      {expected}\n  Millstream {actual}"
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} differ\n{}",
        differing.len(),
        differing.join("\n")
    );
}
