//! `--master`: how many threads run plans.
//!
//! The number is fixed when the engine starts. A program's own `.master("local[N]")` comes later, with its session, and
//! then says how many partitions its plans have (`spark.default.parallelism`): one plan keeps no more threads busy.
use std::num::NonZero;

use super::CliError;

/// Threads for `local`, `local[N]`, `local[*]` and the forms with a number of failures, `local[N,F]`.
pub fn threads(master: &str) -> Result<usize, CliError> {
    let refuse = || {
        CliError::Usage(format!(
            "master {master:?} is not possible: the engine runs in one process, so use local, local[N] or local[*]"
        ))
    };
    let bracket = match master.strip_prefix("local") {
        Some("") => return Ok(1),
        Some(rest) => rest
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(refuse)?,
        None => return Err(refuse()),
    };
    let number = match bracket.split_once(',') {
        Some((number, failures)) if failures.trim().parse::<u32>().is_ok() => number,
        Some(_) => return Err(refuse()),
        None => bracket,
    };
    match number.trim() {
        "*" => Ok(std::thread::available_parallelism().map_or(1, NonZero::get)),
        number => number
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(refuse),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_masters_name_their_threads() {
        assert_eq!(threads("local").unwrap(), 1);
        assert_eq!(threads("local[3]").unwrap(), 3);
        assert_eq!(threads("local[ 4 , 2 ]").unwrap(), 4);
        assert!(threads("local[*]").unwrap() >= 1);
    }

    #[test]
    fn clusters_and_nonsense_are_refused() {
        for master in [
            "yarn",
            "spark://host:7077",
            "local[0]",
            "local[x]",
            "local[",
            "local[2,x]",
            "localhost",
        ] {
            let refusal = threads(master).unwrap_err().to_string();
            assert!(refusal.contains(master), "{refusal}");
        }
    }
}
