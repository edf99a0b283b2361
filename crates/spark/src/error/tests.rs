use super::*;

#[test]
fn message_has_condition_text_and_sql_state() {
    let error = SparkError::arithmetic(
        "DIVIDE_BY_ZERO",
        &[("config", "\"spark.sql.ansi.enabled\"")],
    );
    assert_eq!(
        error.message,
        "[DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. \
         If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error. SQLSTATE: 22012"
    );
}

#[test]
fn legacy_condition_prints_its_text_alone() {
    let error = SparkError::streaming_unsupported("no");
    assert_eq!(
        (error.message.as_str(), error.sql_state.as_deref()),
        ("no", None)
    );
}

#[test]
fn sql_context_points_at_the_fragment() {
    let context = QueryContext::Sql {
        text: "select 1/0".into(),
        start: 7,
        stop: 10,
    };
    assert_eq!(
        context.summary(),
        "== SQL (line 1, position 8) ==\nselect 1/0\n       ^^^\n"
    );
}

#[test]
fn some_conditions_tell_no_place() {
    let context = QueryContext::Sql {
        text: "select f(1)".into(),
        start: 7,
        stop: 11,
    };
    let told = |class: &str| {
        let error = SparkError::runtime(class, &[]).with_context(context.clone());
        (
            error.query_context.is_some(),
            error.message.contains("== SQL"),
        )
    };
    assert_eq!(told("INVALID_ARRAY_INDEX"), (true, true));
    assert_eq!(told("USER_RAISED_EXCEPTION"), (false, false));
    assert_eq!(told("INVALID_PARAMETER_VALUE.PATTERN"), (false, false));
}

#[test]
fn error_survives_the_way_through_datafusion() {
    let error = SparkError::runtime("USER_RAISED_EXCEPTION", &[("errorMessage", "x")]);
    let nested = DataFusionError::Context("c".into(), Box::new(error.clone().into()));
    assert_eq!(SparkError::from(nested), error);
}

/// Every condition named in a constructor call of this crate is in the table.
#[test]
fn every_condition_raised_has_a_template() {
    let pattern = regex::Regex::new(
        r#"SparkError::(?:analysis|parse|runtime|arithmetic|illegal_argument|new)\(\s*(?:Exception::\w+,\s*)?"([A-Z_0-9.]+)""#,
    )
    .unwrap();
    let mut missing = vec![];
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for found in pattern.captures_iter(&text) {
                    let class = &found[1];
                    if conditions::find(class).is_none() && class != "UNSUPPORTED_FEATURE" {
                        missing.push(format!("{}: {class}", path.display()));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
