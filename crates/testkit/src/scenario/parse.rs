//! Reading a scenario file.
use std::str::FromStr;

use millstream_engine::plan::OutputMode;

/// A scenario that cannot be read, or that did not go as it says.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScenarioError {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// A stream that the scenario feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSpec {
    /// Name of its view.
    pub name: String,
    /// Columns as DDL.
    pub columns: String,
    /// Event-time column and delay, for a stream with a watermark.
    pub watermark: Option<(String, String)>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line in the file, from 1.
    pub line: usize,
    /// First word.
    pub verb: String,
    /// The rest of the line.
    pub argument: String,
    /// The indented lines.
    pub body: Vec<String>,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Streams by name.
    pub streams: Vec<StreamSpec>,
    /// Views over them, by name, in order.
    pub views: Vec<(String, String)>,
    /// Output mode.
    pub mode: OutputMode,
    /// How many leading columns identify a row of update mode.
    pub key_columns: usize,
    /// The query.
    pub sql: String,
    /// Fault points at which a crash may change the answer, by name.
    pub except: Vec<String>,
    /// What happens.
    pub steps: Vec<Step>,
}

const VERBS: [&str; 8] = [
    "AddData",
    "MultiAddData",
    "CheckNewAnswer",
    "CheckLastBatch",
    "Progress",
    "StopStream",
    "StartStream",
    "ExpectFailure",
];

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scenario = Self {
            streams: vec![],
            views: vec![],
            mode: OutputMode::Append,
            key_columns: 0,
            sql: String::new(),
            except: vec![],
            steps: vec![],
        };
        let mut asked = false;
        for step in blocks(text)? {
            let fail = |message: String| ScenarioError {
                line: step.line,
                message,
            };
            match step.verb.as_str() {
                "stream" => scenario.streams.push(stream(&step.argument).map_err(fail)?),
                "view" => {
                    let body = step.body.join("\n");
                    scenario.views.push((step.argument, body));
                }
                "query" => {
                    (scenario.mode, scenario.key_columns) = query(&step.argument).map_err(fail)?;
                    scenario.sql = step.body.join("\n");
                    asked = true;
                }
                "except" => scenario.except.push(step.argument),
                verb if VERBS.contains(&verb) => scenario.steps.push(step),
                verb => {
                    return Err(fail(format!(
                        "unknown verb {verb}; there are {}",
                        VERBS.join(", ")
                    )));
                }
            }
        }
        match (asked, scenario.streams.is_empty()) {
            (true, false) => Ok(scenario),
            _ => Err(ScenarioError {
                line: 1,
                message: "a scenario has a stream and a query".to_string(),
            }),
        }
    }
}

/// Verbs with their bodies; comments and empty lines are gone.
fn blocks(text: &str) -> Result<Vec<Step>, ScenarioError> {
    let mut steps: Vec<Step> = vec![];
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            let Some(step) = steps.last_mut() else {
                return Err(ScenarioError {
                    line: index + 1,
                    message: "an indented line begins the file".to_string(),
                });
            };
            step.body.push(content.to_string());
            continue;
        }
        let (verb, argument) = content
            .split_once(char::is_whitespace)
            .unwrap_or((content, ""));
        steps.push(Step {
            line: index + 1,
            verb: verb.to_string(),
            argument: argument.trim().to_string(),
            body: vec![],
        });
    }
    Ok(steps)
}

/// `name(columns) [watermark column delay]`
fn stream(text: &str) -> Result<StreamSpec, String> {
    let (name, rest) = text
        .split_once('(')
        .ok_or("a stream needs columns: name(column type, …)")?;
    let (columns, rest) = rest
        .rsplit_once(')')
        .ok_or("the columns of a stream end with )")?;
    let watermark = match rest.trim().strip_prefix("watermark ") {
        None if rest.trim().is_empty() => None,
        None => return Err(format!("expected watermark COLUMN DELAY, found {rest}")),
        Some(rest) => {
            let (column, delay) = rest
                .trim()
                .split_once(' ')
                .ok_or("a watermark needs a column and a delay")?;
            Some((column.to_string(), delay.trim().to_string()))
        }
    };
    Ok(StreamSpec {
        name: name.trim().to_string(),
        columns: columns.to_string(),
        watermark,
    })
}

/// `mode [key N]`
fn query(text: &str) -> Result<(OutputMode, usize), String> {
    let mut words = text.split_whitespace();
    let mode = words
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error| format!("{error}"))?;
    match (words.next(), words.next()) {
        (None, _) => Ok((mode, 0)),
        (Some("key"), Some(columns)) => {
            Ok((mode, columns.parse().map_err(|_| "key needs a number")?))
        }
        (Some(other), _) => Err(format!("expected key N, found {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# A comment.
stream words(at timestamp, word string) watermark at 10 seconds
query update key 1
  SELECT word, count(*)
  FROM words GROUP BY word

AddData words
  00:00:01, a
CheckNewAnswer
  a, 1
";

    #[test]
    fn a_scenario_is_streams_a_query_and_steps() {
        let scenario: Scenario = TEXT.parse().unwrap();
        assert_eq!(
            scenario.streams[0].watermark,
            Some(("at".to_string(), "10 seconds".to_string()))
        );
        assert_eq!(
            (scenario.mode, scenario.key_columns),
            (OutputMode::Update, 1)
        );
        assert_eq!(
            scenario.sql,
            "SELECT word, count(*)\nFROM words GROUP BY word"
        );
        let verbs: Vec<_> = scenario
            .steps
            .iter()
            .map(|step| (step.line, step.verb.as_str()))
            .collect();
        assert_eq!(verbs, [(7, "AddData"), (9, "CheckNewAnswer")]);
    }

    #[test]
    fn a_misspelt_verb_is_named_with_its_line() {
        let error = format!("{TEXT}CheckAnser\n")
            .parse::<Scenario>()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 11: unknown verb CheckAnser"),
            "{error}"
        );
    }
}
