//! `millstream checkpoint explain`: the program is run up to the query of a checkpoint, which is compared and not started.
//!
//! The program ends there. Until then no query of it starts, and no batch that it writes has an effect; [`Rehearsal`] says
//! what takes their place, and what cannot be prevented.
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

/// Runs the program up to the checkpoint's query and tells what that would meet; 0 if it would go on, 1 if it would be
/// refused, 2 if there is none.
pub fn run(arguments: ExplainArguments) -> Result<u8, CliError> {
    let rehearsal = Rehearsal::of(&arguments.dir, &std::env::temp_dir())
        .map_err(|error| CliError::Usage(format!("{}: {error}", arguments.dir)))?;
    let engine = Engine::rehearsing(&arguments.program.engine, rehearsal.clone())?;
    let compared = rehearsal.compared();
    let program = submit::serve_program(&engine, &arguments.program, compared);
    let ran = engine.front().block_on(program);
    engine.abandon();
    rehearsal.clean();
    // How the program ended does not matter: either the answer is there, or it did not come as far as its query.
    ran?;
    let (text, code) = told(
        &rehearsal.told(),
        &rehearsal.left_out(),
        rehearsal.checkpoint(),
    );
    print!("{text}");
    Ok(code)
}

pub(super) fn told(queries: &[Rehearsed], left_out: &[String], checkpoint: &str) -> (String, u8) {
    let mut text = String::new();
    let mut code = 0;
    for what in left_out {
        let _ = writeln!(text, "left out: {what}");
    }
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
