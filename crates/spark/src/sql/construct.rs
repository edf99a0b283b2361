//! Builders of Connect protobuf nodes, one line each at the call site.
//!
//! They spell a node the way the Python client spells it, so that the resolver meets one form of
//! each: `a <> b` is `not(==)`, a multi-part name is one string with back quotes where needed.

use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::expression::{self, ExprType, Literal};
use spark_connect_proto::relation::RelType;
use spark_connect_proto::{DataType, Expression, Relation, data_type};

/// An expression of the given kind.
pub(super) fn expression(kind: ExprType) -> Expression {
    Expression {
        common: None,
        expr_type: Some(kind),
    }
}

/// A relation of the given kind.
pub(super) fn relation(kind: RelType) -> Relation {
    Relation {
        common: None,
        rel_type: Some(kind),
    }
}

/// A call of a built-in function or operator.
pub(super) fn function(name: impl Into<String>, arguments: Vec<Expression>) -> Expression {
    expression(ExprType::UnresolvedFunction(
        expression::UnresolvedFunction {
            function_name: name.into(),
            arguments,
            ..Default::default()
        },
    ))
}

/// A construct that Spark has no function and the protobuf no message for; see
/// [`super::internal_function`].
pub(super) fn internal(name: &str, arguments: Vec<Expression>) -> Expression {
    expression(ExprType::UnresolvedFunction(
        expression::UnresolvedFunction {
            function_name: name.to_owned(),
            arguments,
            is_internal: Some(true),
            ..Default::default()
        },
    ))
}

/// `not(child)`.
pub(super) fn not(child: Expression) -> Expression {
    function("not", vec![child])
}

/// `child`, or `not(child)` if `negated`.
pub(super) fn negate_if(negated: bool, child: Expression) -> Expression {
    if negated { not(child) } else { child }
}

/// A column by its name parts.
pub(super) fn attribute(parts: &[String]) -> Expression {
    expression(ExprType::UnresolvedAttribute(
        expression::UnresolvedAttribute {
            unparsed_identifier: quote_parts(parts),
            ..Default::default()
        },
    ))
}

/// `child[extraction]`, which is also how a struct's field is reached.
pub(super) fn extract_value(child: Expression, extraction: Expression) -> Expression {
    expression(ExprType::UnresolvedExtractValue(Box::new(
        expression::UnresolvedExtractValue {
            child: Some(Box::new(child)),
            extraction: Some(Box::new(extraction)),
        },
    )))
}

/// `child AS name`, or `child AS (name, …)` for generators.
pub(super) fn alias(child: Expression, name: Vec<String>) -> Expression {
    expression(ExprType::Alias(Box::new(expression::Alias {
        expr: Some(Box::new(child)),
        name,
        metadata: None,
    })))
}

/// A literal whose type follows from its value.
pub(super) fn literal(value: LiteralType) -> Expression {
    typed_literal(value, None)
}

/// A literal with a type the value alone does not tell.
pub(super) fn typed_literal(value: LiteralType, data_type: Option<DataType>) -> Expression {
    expression(ExprType::Literal(Literal {
        data_type,
        literal_type: Some(value),
    }))
}

/// A string literal.
pub(super) fn string(value: impl Into<String>) -> Expression {
    literal(LiteralType::String(value.into()))
}

/// The untyped null.
pub(super) fn null() -> Expression {
    literal(LiteralType::Null(data_type(data_type::Kind::Null(
        Default::default(),
    ))))
}

/// A data type of the given kind.
pub(super) fn data_type(kind: data_type::Kind) -> DataType {
    DataType { kind: Some(kind) }
}

/// `relation AS name`.
pub(super) fn subquery_alias(input: Relation, name: String) -> Relation {
    relation(RelType::SubqueryAlias(Box::new(
        spark_connect_proto::SubqueryAlias {
            input: Some(Box::new(input)),
            alias: name,
            qualifier: Vec::new(),
        },
    )))
}

/// `relation` with its columns renamed.
pub(super) fn to_df(input: Relation, column_names: Vec<String>) -> Relation {
    relation(RelType::ToDf(Box::new(spark_connect_proto::ToDf {
        input: Some(Box::new(input)),
        column_names,
    })))
}

/// `SELECT expressions FROM input`; without an input, over a single row.
pub(super) fn project(input: Option<Relation>, expressions: Vec<Expression>) -> Relation {
    relation(RelType::Project(Box::new(spark_connect_proto::Project {
        input: input.map(Box::new),
        expressions,
    })))
}

/// `input WHERE condition`.
pub(super) fn filter(input: Relation, condition: Expression) -> Relation {
    relation(RelType::Filter(Box::new(spark_connect_proto::Filter {
        input: Some(Box::new(input)),
        condition: Some(condition),
    })))
}

/// Forgets where in the text an expression and its operands stand.
pub(super) fn unplaced(expression: &mut Expression) {
    expression.common = None;
    match &mut expression.expr_type {
        Some(ExprType::UnresolvedFunction(call)) => call.arguments.iter_mut().for_each(unplaced),
        Some(ExprType::Cast(cast)) => cast.expr.as_deref_mut().into_iter().for_each(unplaced),
        Some(ExprType::Alias(alias)) => alias.expr.as_deref_mut().into_iter().for_each(unplaced),
        Some(ExprType::UnresolvedExtractValue(extract)) => {
            let parts = [&mut extract.child, &mut extract.extraction];
            parts
                .into_iter()
                .filter_map(|part| part.as_deref_mut())
                .for_each(unplaced);
        }
        _ => {}
    }
}

/// Name parts joined by dots, back-quoted where a bare part would not read back.
pub fn quote_parts(parts: &[String]) -> String {
    let quoted: Vec<String> = parts.iter().map(|part| quote_if_needed(part)).collect();
    quoted.join(".")
}

fn quote_if_needed(part: &str) -> String {
    let bare = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let number = part.starts_with(|c: char| c.is_ascii_digit());
    if !part.is_empty() && !number && part.chars().all(bare) {
        part.to_owned()
    } else {
        format!("`{}`", part.replace('`', "``"))
    }
}
