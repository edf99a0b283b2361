//! `millstream checkpoint`: looking into a checkpoint, and going back to a batch of it.
//!
//! | command | reads | writes |
//! |---|---|---|
//! | `show` | logs, operators, sizes | nothing |
//! | `state` | every state store | nothing |
//! | `explain` | logs and operators, and a program that is run up to its queries | nothing |
//! | `rewind` | logs and state | deletes what is newer than a batch, with no query running |
mod explain;
mod rewind;
mod show;
mod state;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use clap::{Args, Subcommand};
use datafusion::arrow::temporal_conversions::timestamp_ms_to_datetime;
use millstream_checkpoint::{CheckpointDir, CheckpointError, Faults, StorageRef, storage};

use self::explain::ExplainArguments;
use super::{CliError, runtimes::Runtimes};

/// What is done to a checkpoint.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Show its batches, offsets, watermark, operators and sizes
    Show(ShowArguments),
    /// Say what a changed program would do to it, before anything runs
    Explain(Box<ExplainArguments>),
    /// Go back to a batch: what came after is forgotten
    Rewind(RewindArguments),
    /// Show its state: operators, stores, versions, rows
    State(StateArguments),
}

/// Arguments of `millstream checkpoint show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The checkpoint location
    pub dir: String,
    /// How many of the latest batches are listed
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub batches: usize,
}

/// Arguments of `millstream checkpoint state`.
#[derive(Debug, Args)]
pub struct StateArguments {
    /// The checkpoint location
    pub dir: String,
}

/// Arguments of `millstream checkpoint rewind`.
#[derive(Debug, Args)]
pub struct RewindArguments {
    /// The checkpoint location
    pub dir: String,
    /// The batch that is to be the latest one
    #[arg(long, value_name = "N")]
    pub to_batch: u64,
}

/// Runs a command; what it tells goes to stdout.
pub fn run(command: CheckpointCommand) -> Result<u8, CliError> {
    if let CheckpointCommand::Explain(arguments) = command {
        return explain::run(*arguments);
    }
    let runtimes = Runtimes::start(1)?;
    let told = runtimes.front.block_on(async {
        match command {
            CheckpointCommand::Show(arguments) => show::show(&arguments).await,
            CheckpointCommand::State(arguments) => state::show(&arguments.dir).await,
            CheckpointCommand::Rewind(arguments) => rewind::rewind(&arguments).await,
            CheckpointCommand::Explain(_) => Ok(String::new()),
        }
    });
    runtimes.abandon();
    print!("{}", told?);
    Ok(0)
}

/// The checkpoint at a location, which must be one.
async fn open(location: &str) -> Result<CheckpointDir, CliError> {
    let root = storage::open(location).map_err(|error| refused(location, &error))?;
    let dir = CheckpointDir::new(root, Faults::none());
    if dir.metadata().await.map_err(of_checkpoint)?.is_none() {
        return Err(CliError::Usage(format!(
            "{location} is not a checkpoint: it has no metadata file"
        )));
    }
    Ok(dir)
}

fn refused(location: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::Usage(format!("{location}: {error}"))
}

fn of_checkpoint(error: CheckpointError) -> CliError {
    CliError::Usage(error.to_string())
}

/// A moment, in UTC.
fn moment(at_ms: i64) -> String {
    match timestamp_ms_to_datetime(at_ms) {
        Some(at) => format!("{}Z", at.format("%Y-%m-%dT%H:%M:%S%.3f")),
        None => format!("{at_ms} ms"),
    }
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Files below a folder and their bytes.
async fn weigh(root: &StorageRef, folder: &str) -> Result<(u64, u64), CliError> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_string()];
    while let Some(folder) = folders.pop() {
        let listed = root.list(&folder).await;
        for file in listed.map_err(|error| refused(root.url(), &error))? {
            files += 1;
            bytes += file.size;
        }
        let below = root.list_dirs(&folder).await;
        for name in below.map_err(|error| refused(root.url(), &error))? {
            folders.push(format!("{folder}/{name}"));
        }
    }
    Ok((files, bytes))
}

/// Lines of columns, each as wide as its widest value.
fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = vec![];
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
