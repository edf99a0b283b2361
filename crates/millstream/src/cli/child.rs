//! The program: a Python process with a line to us.
//!
//! Signals are not sent to the process but over a socket that its shim follows, see `sitecustomize.py`. From a
//! terminal, Ctrl-C reaches the program by itself as well, since it is in the same process group; the shim sees to it
//! that the program is interrupted once.
use std::{os::unix::process::ExitStatusExt, path::Path, process::ExitStatus, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream},
    process::{Child, Command},
};

use super::{
    CliError,
    args::SubmitArguments,
    shim::Shim,
    signals::{EndSignal, EndSignals},
};

/// How long the program may take to end after a signal; then it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait for a line that the program is just opening.
const CONNECT: Duration = Duration::from_millis(100);

/// Variables that would lead the client elsewhere than to our server.
const MISLEADING: [&str; 6] = [
    "MASTER",
    "SPARK_API_MODE",
    "SPARK_CONNECT_AUTHENTICATE_TOKEN",
    "SPARK_CONNECT_MODE_ENABLED",
    "SPARK_LOCAL_REMOTE",
    "SPARK_TESTING",
];

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by somebody else's signal.
    Exited(u8),
    /// After this signal to us.
    Signalled(EndSignal),
}

impl Ended {
    /// The exit code to end with in turn.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => signal.exit_code(),
        }
    }
}

/// The running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    listener: UnixListener,
    line: Option<UnixStream>,
}

impl Program {
    /// Starts it.
    pub fn start(
        arguments: &SubmitArguments,
        python: &str,
        remote: &str,
        shim: &Shim,
    ) -> Result<Self, CliError> {
        let line = shim.line();
        let listener = UnixListener::bind(&line).map_err(|source| CliError::System {
            action: "open a socket",
            source,
        })?;
        let python_path = std::env::var("PYTHONPATH").ok();
        let mut command = Command::new(python);
        command
            .arg(arguments.app()?)
            .args(arguments.arguments())
            .env("SPARK_REMOTE", remote)
            .env("SPARK_HOME", shim.home())
            .env("PYTHONUNBUFFERED", "YES")
            .env("SPARK_CONNECT_RELEASE_SESSION_ON_EXIT", "true")
            .env("PYTHONPATH", shim.python_path(python_path.as_deref()))
            .env("MILLSTREAM_LAUNCHER_PID", std::process::id().to_string())
            .env("MILLSTREAM_LAUNCHER_LINE", &line)
            .kill_on_drop(true);
        for variable in MISLEADING {
            command.env_remove(variable);
        }
        let child = command.spawn().map_err(|source| CliError::Python {
            python: python.to_string(),
            source,
        })?;
        Ok(Self {
            child,
            listener,
            line: None,
        })
    }

    /// Waits for its end, passing a signal on once. A second signal kills it.
    pub async fn wait(mut self, signals: &mut EndSignals) -> Result<Ended, CliError> {
        let signal = loop {
            tokio::select! {
                ended = self.child.wait() => return exit_code(ended).map(Ended::Exited),
                accepted = self.listener.accept(), if self.line.is_none() => {
                    self.line = accepted.ok().map(|(line, _)| line);
                }
                signal = signals.next() => break signal,
            }
        };
        self.pass_on(signal).await;
        let ended = tokio::select! {
            ended = tokio::time::timeout(GRACE, self.child.wait()) => ended.ok(),
            _ = signals.next() => None,
        };
        if ended.is_none() {
            tracing::warn!("the program did not end after the signal and is killed");
            let _ = self.child.kill().await;
        }
        Ok(Ended::Signalled(signal))
    }

    async fn pass_on(&mut self, signal: EndSignal) {
        let order = match signal {
            EndSignal::Interrupt => b"I",
            EndSignal::Terminate => b"T",
        };
        if self.line.is_none() {
            // The program may have connected since we last looked.
            let accepted = tokio::time::timeout(CONNECT, self.listener.accept()).await;
            self.line = accepted.ok().and_then(Result::ok).map(|(line, _)| line);
        }
        let sent = match &mut self.line {
            Some(line) => line.write_all(order).await.is_ok(),
            None => false,
        };
        if !sent {
            // Python has not come as far as the shim, so there is nothing to end gracefully.
            let _ = self.child.start_kill();
        }
    }
}

/// The code of a process that ended; 128 + signal as shells count it.
fn exit_code(ended: std::io::Result<ExitStatus>) -> Result<u8, CliError> {
    let status = ended.map_err(|source| CliError::System {
        action: "wait for the program",
        source,
    })?;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// The Python that runs the program: the first of our variable, Spark's configuration and Spark's variables.
pub fn python(
    conf: impl Fn(&str) -> Option<String>,
    environment: impl Fn(&str) -> Option<String>,
) -> String {
    environment("MILLSTREAM_PYTHON")
        .or_else(|| conf("spark.pyspark.driver.python"))
        .or_else(|| conf("spark.pyspark.python"))
        .or_else(|| environment("PYSPARK_DRIVER_PYTHON"))
        .or_else(|| environment("PYSPARK_PYTHON"))
        .filter(|python| !python.is_empty())
        .unwrap_or_else(|| "python3".to_string())
}

/// Refuses a program that is not there, or is none for Python.
pub fn check(app: &Path) -> Result<(), CliError> {
    match app.extension().and_then(|extension| extension.to_str()) {
        Some("jar") => Err(CliError::Usage(format!(
            "{}: there is no JVM to run a jar",
            app.display()
        ))),
        _ => std::fs::metadata(app)
            .map(|_| ())
            .map_err(|source| CliError::File {
                action: "read",
                path: app.display().to_string(),
                source,
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(Ok(ExitStatus::from_raw(3 << 8))).unwrap(), 3);
        assert_eq!(exit_code(Ok(ExitStatus::from_raw(9))).unwrap(), 137);
        assert_eq!(Ended::Signalled(EndSignal::Interrupt).exit_code(), 130);
    }

    #[test]
    fn the_interpreter_is_found_in_sparks_order() {
        let none = |_: &str| None;
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_string())
        };
        assert_eq!(python(none, none), "python3");
        assert_eq!(python(none, set("PYSPARK_PYTHON", "/py")), "/py");
        assert_eq!(
            python(
                set("spark.pyspark.python", "/conf"),
                set("PYSPARK_PYTHON", "/py")
            ),
            "/conf"
        );
        assert_eq!(
            python(
                set("spark.pyspark.python", "/conf"),
                set("MILLSTREAM_PYTHON", "/ours")
            ),
            "/ours"
        );
    }

    #[test]
    fn a_missing_program_and_a_jar_are_refused() {
        assert!(
            check(Path::new("/nowhere/app.py"))
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
        assert!(
            check(Path::new("app.jar"))
                .unwrap_err()
                .to_string()
                .contains("no JVM")
        );
    }
}
