//! `millstream checkpoint explain`: the program is run up to its queries, which are compared and not started.
//!
//! The server behind the program refuses every query; one whose checkpoint is the one in question is compared with it
//! first. So nothing is read from sources or written to sinks by a query; what the program does on its own, it does.
use std::fmt::Write;

use clap::Args;
use millstream_spark::streaming::{Rehearsal, Rehearsed};

use crate::cli::{CliError, args::SubmitArguments, engine::Engine, submit};

/// Arguments of `millstream checkpoint explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The checkpoint location
    pub dir: String,
    /// The program.
    #[command(flatten)]
    pub program: SubmitArguments,
}

/// Runs the program and tells what its queries would do to the checkpoint; 0 if they would go on.
pub fn run(arguments: ExplainArguments) -> Result<u8, CliError> {
    let rehearsal = Rehearsal::of(&arguments.dir)
        .map_err(|error| CliError::Usage(format!("{}: {error}", arguments.dir)))?;
    let engine = Engine::rehearsing(&arguments.program.engine, rehearsal.clone())?;
    let ran = engine
        .front()
        .block_on(submit::serve_program(&engine, &arguments.program));
    engine.abandon();
    // A program whose queries are refused fails; that is no news.
    ran?;
    let (text, code) = told(&rehearsal.told(), rehearsal.checkpoint());
    print!("{text}");
    Ok(code)
}

pub(super) fn told(queries: &[Rehearsed], checkpoint: &str) -> (String, u8) {
    let mut text = String::new();
    let mut code = 0;
    if queries.is_empty() {
        let _ = writeln!(text, "the program started no query on {checkpoint}");
        return (text, 2);
    }
    for query in queries {
        let name = query.name.as_deref().unwrap_or("a query without a name");
        let _ = writeln!(text, "{name}, on {checkpoint}");
        for statement in &query.report.statements {
            let _ = writeln!(text, "  {statement}");
        }
        match &query.report.refusal {
            None => {
                let _ = writeln!(text, "  it would go on");
            }
            Some(refusal) => {
                code = 1;
                let _ = writeln!(text, "  it would be refused: {refusal}");
            }
        }
    }
    (text, code)
}
