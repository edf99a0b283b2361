//! Playing a scenario.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use millstream_checkpoint::{FaultAction, FaultPoint, Faults};
use millstream_engine::{
    BoxError,
    plan::OutputMode,
    query::{
        ActiveQueries, CheckpointLocation, LocalStateSettings, QuerySettings, QuerySpec,
        StreamingQuery, StreamingQueryManager, Trigger,
    },
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
    source::MemoryStream,
    time::SystemClock,
};

use super::{
    parse::{Scenario, ScenarioError, Step},
    rows,
    variation::Variation,
};
use crate::planning::Planner;

/// The numbers of state partitions that runs ask for, one after the other.
const ASKED_PARTITIONS: [usize; 4] = [2, 7, 1, 3];

/// Committed batches by id; a batch that is run again replaces itself.
#[derive(Debug, Default, Clone)]
struct Output {
    pending: Arc<Mutex<BTreeMap<u64, Vec<RecordBatch>>>>,
    committed: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
}

type Batches<T> = Mutex<BTreeMap<u64, Vec<T>>>;

/// The map is changed by single calls, so a panic elsewhere leaves it whole.
fn lock<T>(batches: &Batches<T>) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<T>>> {
    batches.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Sink for Output {
    fn description(&self) -> String {
        "ScenarioSink".to_string()
    }

    async fn begin(&self, batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        lock(&self.pending).insert(batch.batch_id, vec![]);
        Ok(Arc::new(OutputBatch {
            batch_id: batch.batch_id,
            output: self.clone(),
        }))
    }

    async fn commit(&self, batch: &SinkBatch, _: Vec<CommitMessage>) -> Result<(), BoxError> {
        let rows = lock(&self.pending)
            .remove(&batch.batch_id)
            .unwrap_or_default();
        lock(&self.committed).insert(batch.batch_id, rows::print(&rows));
        Ok(())
    }
}

#[derive(Debug)]
struct OutputBatch {
    batch_id: u64,
    output: Output,
}

#[async_trait]
impl BatchWriter for OutputBatch {
    async fn write(
        &self,
        _: usize,
        rows: SendableRecordBatchStream,
    ) -> Result<CommitMessage, BoxError> {
        let rows: Vec<_> = rows.try_collect().await?;
        lock(&self.output.pending)
            .entry(self.batch_id)
            .or_default()
            .extend(rows);
        Ok(CommitMessage::default())
    }
}

/// A scenario being played.
struct Play<'a> {
    scenario: &'a Scenario,
    variation: Variation,
    planner: Planner,
    streams: HashMap<String, (MemoryStream, SchemaRef)>,
    output: Output,
    checkpoint: tempfile::TempDir,
    local_disk: tempfile::TempDir,
    query: Option<StreamingQuery>,
    /// Batches already compared.
    checked: Option<u64>,
    /// What straight play would have put out, for the final comparison of a crashed one.
    expected: Vec<Vec<String>>,
    fired: usize,
    /// Runs that were started.
    starts: usize,
    /// The number of state partitions that the run asked for, if it asked for state to be moved.
    asked: Option<usize>,
}

/// Plays a scenario in one variation.
///
/// # Errors
/// Where the scenario and the engine differ first.
pub async fn play(scenario: &Scenario, variation: Variation) -> Result<(), ScenarioError> {
    let excepted = |point: FaultPoint| {
        scenario
            .except
            .iter()
            .any(|name| *name == point.to_string())
    };
    if variation.crash.is_some_and(excepted) {
        return Ok(());
    }
    let fail = |message: String| ScenarioError { line: 1, message };
    let mut planner = Planner::new().map_err(fail)?;
    let mut streams = HashMap::new();
    for spec in &scenario.streams {
        let watermark = spec
            .watermark
            .as_ref()
            .map(|(column, delay)| (column.as_str(), delay.as_str()));
        let stream = planner
            .stream(&spec.name, &spec.columns, watermark)
            .await
            .map_err(fail)?;
        streams.insert(spec.name.clone(), stream);
    }
    for (name, text) in &scenario.views {
        planner.define(name, text).await.map_err(fail)?;
    }
    let folder = || {
        tempfile::tempdir().map_err(|error| ScenarioError {
            line: 1,
            message: error.to_string(),
        })
    };
    let (checkpoint, local_disk) = (folder()?, folder()?);
    let mut play = Play {
        scenario,
        variation,
        planner,
        streams,
        output: Output::default(),
        checkpoint,
        local_disk,
        query: None,
        checked: None,
        expected: vec![],
        fired: 0,
        starts: 0,
        asked: None,
    };
    play.run().await
}

impl Play<'_> {
    async fn run(&mut self) -> Result<(), ScenarioError> {
        let additions = self.scenario.steps.iter().filter(|step| adds(step)).count();
        let mut added = 0;
        for step in &self.scenario.steps {
            added += usize::from(adds(step));
            let crash = self
                .variation
                .crash
                .filter(|_| adds(step) && added < additions);
            let line = step.line;
            self.step(step, crash)
                .await
                .map_err(|message| ScenarioError { line, message })?;
        }
        let done = self.finish().await;
        done.map_err(|message| ScenarioError {
            line: self.scenario.steps.last().map_or(1, |step| step.line),
            message,
        })
    }

    async fn step(&mut self, step: &Step, crash: Option<FaultPoint>) -> Result<(), String> {
        match step.verb.as_str() {
            "AddData" => self.add(step, crash).await,
            "MultiAddData" => self.add_together(step, crash).await,
            "CheckNewAnswer" => self.check_new(&step.body).await,
            "CheckLastBatch" => self.check_last(&step.body).await,
            "Progress" => self.check_progress(&step.argument).await,
            "StopStream" => {
                self.stop().await;
                Ok(())
            }
            "StartStream" => self.start(Faults::none(), false).await,
            "ExpectFailure" => self.expect_failure(&step.argument).await,
            other => Err(format!("unknown verb {other}")),
        }
    }

    /// The number of state partitions that the next run asks for, and whether state is to be moved.
    fn asks(&mut self, after_crash: bool) -> (usize, bool) {
        self.starts += 1;
        let next = ASKED_PARTITIONS[self.starts % ASKED_PARTITIONS.len()];
        let (partitions, moves) = match self.variation.repartition {
            false => (self.variation.partitions, false),
            // What was begun is finished, whatever the run after the crash asks for: every other one asks for nothing.
            true if after_crash && self.starts.is_multiple_of(4) => (5, false),
            true => (next, true),
        };
        self.asked = moves.then_some(partitions);
        (partitions, moves)
    }

    async fn start(&mut self, faults: Faults, after_crash: bool) -> Result<(), String> {
        let (state_partitions, repartition_state) = self.asks(after_crash);
        let (plan, schema, session) = self.planner.query(&self.scenario.sql).await?;
        let manager = StreamingQueryManager::new(
            tokio::runtime::Handle::current(),
            Arc::new(ActiveQueries::default()),
        );
        let query = manager
            .start(QuerySpec {
                name: None,
                plan,
                schema,
                session,
                sink: Arc::new(self.output.clone()),
                output_mode: self.scenario.mode,
                trigger: Trigger::default(),
                checkpoint: CheckpointLocation {
                    url: self.checkpoint.path().to_string_lossy().into_owned(),
                    temporary: false,
                },
                settings: QuerySettings {
                    parallelism: 2,
                    state_partitions,
                    repartition_state,
                    state_provider: self.variation.provider,
                    // Nothing fits into memory, so that every batch reads the disk.
                    local_state: LocalStateSettings {
                        folder: self.local_disk.path().to_owned(),
                        buffer_bytes: 0,
                        cache_bytes: 1 << 20,
                    },
                    min_deltas_for_snapshot: 2,
                    ..Default::default()
                },
                clock: Arc::new(SystemClock),
                faults,
                stop_active_run: true,
            })
            .await
            .map_err(|error| error.to_string())?;
        self.query = Some(query);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(query) = self.query.take() {
            query.stop().await;
        }
    }

    async fn add(&mut self, step: &Step, crash: Option<FaultPoint>) -> Result<(), String> {
        if let Some(point) = crash {
            self.stop().await;
            let faults = Faults::new();
            faults.arm(point, 1, FaultAction::Fail);
            self.start(faults.clone(), false).await?;
            self.append(step)?;
            return self.crash(point, &faults).await;
        }
        self.append(step)
    }

    /// Rows of several streams in one batch: they are there before the query is.
    async fn add_together(&mut self, step: &Step, crash: Option<FaultPoint>) -> Result<(), String> {
        self.stop().await;
        let mut of_streams: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in &step.body {
            let (stream, values) = line.split_once(": ").ok_or("expected STREAM: values")?;
            of_streams
                .entry(stream)
                .or_default()
                .push(values.to_string());
        }
        for (stream, lines) in of_streams {
            self.append_to(stream, &lines)?;
        }
        let Some(point) = crash else {
            return self.start(Faults::none(), false).await;
        };
        let faults = Faults::new();
        faults.arm(point, 1, FaultAction::Fail);
        self.start(faults.clone(), false).await?;
        self.crash(point, &faults).await
    }

    /// Waits for the query to fail at `point`, and starts it anew.
    async fn crash(&mut self, point: FaultPoint, faults: &Faults) -> Result<(), String> {
        // A point that no batch passes (no state, nothing to tell a source yet) does not fire and does not fail.
        let failed = self.process().await.is_err();
        self.fired += faults.fired().len();
        if failed == faults.fired().is_empty() {
            return Err(format!(
                "the fault at {point} and the query's end do not go together"
            ));
        }
        self.stop().await;
        self.start(Faults::none(), true).await
    }

    fn append(&mut self, step: &Step) -> Result<(), String> {
        self.append_to(&step.argument, &step.body)
    }

    fn append_to(&mut self, stream: &str, lines: &[String]) -> Result<(), String> {
        let (stream, schema) = self
            .streams
            .get(stream)
            .ok_or_else(|| format!("there is no stream {stream}"))?;
        stream.add(rows::read(lines, schema)?);
        Ok(())
    }

    async fn process(&mut self) -> Result<(), String> {
        if self.query.is_none() {
            self.start(Faults::none(), false).await?;
        }
        let Some(query) = &self.query else {
            return Ok(());
        };
        query
            .process_all_available()
            .await
            .map_err(|failure| failure.error.to_string())
    }

    async fn check_new(&mut self, expected: &[String]) -> Result<(), String> {
        self.process().await?;
        let expected = sorted(expected.to_vec());
        if self.variation.crash.is_some() {
            self.expected.push(expected);
            return Ok(());
        }
        let new: Vec<String> = {
            let committed = lock(&self.output.committed);
            let from = self.checked.map_or(0, |checked| checked + 1);
            let new = committed
                .range(from..)
                .flat_map(|(_, lines)| lines.clone())
                .collect();
            self.checked = committed.keys().next_back().copied();
            new
        };
        compare(&expected, &sorted(new))?;
        self.check_partitions()?;
        self.restart_if_asked().await;
        Ok(())
    }

    async fn check_last(&mut self, expected: &[String]) -> Result<(), String> {
        self.process().await?;
        let expected = sorted(expected.to_vec());
        if self.variation.crash.is_some() {
            self.expected.push(expected);
            return Ok(());
        }
        let last = self.last_batch();
        compare(&expected, &sorted(last))?;
        self.check_partitions()?;
        self.restart_if_asked().await;
        Ok(())
    }

    fn last_batch(&self) -> Vec<String> {
        let committed = lock(&self.output.committed);
        committed
            .values()
            .rev()
            .find(|lines| !lines.is_empty())
            .cloned()
            .unwrap_or_default()
    }

    /// State is where the run asked for it.
    fn check_partitions(&self) -> Result<(), String> {
        let recent = self.query.as_ref().map(StreamingQuery::recent_progress);
        let recent = recent.unwrap_or_default();
        let operators = recent.iter().flat_map(|progress| &progress.state_operators);
        for operator in operators {
            let found = operator.num_shuffle_partitions as usize;
            if let Some(asked) = self.asked.filter(|asked| *asked != found) {
                return Err(format!("state is in {found} partitions, not in {asked}"));
            }
        }
        Ok(())
    }

    async fn restart_if_asked(&mut self) {
        if self.variation.restart {
            self.stop().await;
        }
    }

    async fn check_progress(&mut self, figures: &str) -> Result<(), String> {
        // Another run has seen other batches.
        if self.variation.restart || self.variation.crash.is_some() {
            return Ok(());
        }
        let query = self.query.as_ref().ok_or("the query has not started")?;
        let recent = query.recent_progress();
        let last = recent
            .iter()
            .rfind(|progress| progress.num_input_rows > 0)
            .ok_or("no batch had rows")?;
        let json: serde_json::Value =
            serde_json::from_str(&last.json()).map_err(|error| error.to_string())?;
        for figure in figures.split_whitespace() {
            let (name, expected) = figure.split_once('=').ok_or("figures are name=value")?;
            let operator = json
                .pointer("/stateOperators/0")
                .and_then(|operator| operator.get(name));
            let found = operator
                .or_else(|| json.pointer(&format!("/stateOperators/0/customMetrics/{name}")))
                .or_else(|| json.get(name))
                .or_else(|| json.pointer(&format!("/eventTime/{name}")));
            let found = found.map(|found| found.to_string().trim_matches('"').to_string());
            if found.as_deref() != Some(expected) {
                return Err(format!("{name} is {found:?}, expected {expected}"));
            }
        }
        Ok(())
    }

    async fn expect_failure(&mut self, text: &str) -> Result<(), String> {
        match self.process().await {
            Ok(()) => Err(format!("the query did not fail; expected: {text}")),
            Err(message) if message.contains(text) => {
                self.query = None;
                Ok(())
            }
            Err(message) => Err(format!(
                "the query failed with: {message}; expected: {text}"
            )),
        }
    }

    /// The final result of a crashed play is that of a straight one.
    async fn finish(&mut self) -> Result<(), String> {
        self.stop().await;
        let Some(point) = self.variation.crash else {
            return Ok(());
        };
        let additions = self.scenario.steps.iter().filter(|step| adds(step)).count();
        if additions > 2
            && self.fired == 0
            && self
                .scenario
                .steps
                .iter()
                .all(|step| step.verb != "ExpectFailure")
        {
            return Err(format!("the fault at {point} never fired"));
        }
        let expected = std::mem::take(&mut self.expected);
        let found: Vec<Vec<String>> = lock(&self.output.committed).values().cloned().collect();
        match self.scenario.mode {
            OutputMode::Append => compare(&sorted(expected.concat()), &sorted(found.concat())),
            OutputMode::Complete => compare(
                &sorted(expected.last().cloned().unwrap_or_default()),
                &sorted(self.last_batch()),
            ),
            OutputMode::Update => {
                let key = self.scenario.key_columns;
                compare(
                    &latest(&expected.concat(), key),
                    &latest(&found.concat(), key),
                )
            }
        }
    }
}

/// Whether a step brings rows.
fn adds(step: &Step) -> bool {
    matches!(step.verb.as_str(), "AddData" | "MultiAddData")
}

/// The last row of each key.
fn latest(rows: &[String], key_columns: usize) -> Vec<String> {
    let mut last = BTreeMap::new();
    for row in rows {
        let key: Vec<_> = row.split(", ").take(key_columns).collect();
        last.insert(key.join(", "), row.clone());
    }
    last.into_values().collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn compare(expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!(
        "expected\n  {}\nfound\n  {}",
        expected.join("\n  "),
        found.join("\n  ")
    ))
}
