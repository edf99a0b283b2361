//! What happens to files whose batch is done: `cleanSource`.
//!
//! Cleaning runs beside the query, `cleaner.numThreads` files at a time, and is best effort: a file
//! that cannot be moved or deleted stays, with a warning, and so do files that a crash overtakes.
//! The queue is bounded; when the file system does not keep up, files stay rather than batches
//! wait.
use std::{fs, io, sync::Arc};

use futures::StreamExt;
use object_store::ObjectStoreExt;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    glob::Glob,
    location::{FileSystem, Location, object_path},
    options::CleanSource,
};
use crate::error::ConnectorError;

const QUEUE_LENGTH: usize = 10_000;

/// What is done with a file.
#[derive(Debug, Clone)]
enum Action {
    Delete,
    /// Move below this path, keeping the whole original path.
    Archive {
        base: String,
    },
}

/// Cleans up files, one by one.
#[derive(Debug)]
pub(super) struct Cleaner {
    job: Arc<Job>,
    /// `None` cleans up at once.
    queue: Option<mpsc::Sender<String>>,
    worker: Mutex<Option<JoinHandle<()>>>,
    cancelled: CancellationToken,
}

#[derive(Debug)]
struct Job {
    fs: FileSystem,
    action: Action,
}

impl Cleaner {
    /// The cleaner that the options ask for, if any, for files of `source`.
    ///
    /// # Errors
    /// If the archive could be read as input.
    pub(super) fn start(
        mode: &CleanSource,
        source: &Location,
        threads: usize,
    ) -> Result<Option<Self>, ConnectorError> {
        let action = match mode {
            CleanSource::Off => return Ok(None),
            CleanSource::Delete => Action::Delete,
            CleanSource::Archive { dir } => {
                let base = Location::parse(dir)?;
                check_archive(source, &base)?;
                Action::Archive { base: base.path }
            }
        };
        let job = Arc::new(Job {
            fs: source.fs.clone(),
            action,
        });
        let cancelled = CancellationToken::new();
        let (queue, worker) = match threads {
            0 => (None, None),
            threads => {
                let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
                let work = run(Arc::clone(&job), receiver, threads, cancelled.clone());
                (Some(sender), Some(tokio::spawn(work)))
            }
        };
        Ok(Some(Self {
            job,
            queue,
            worker: Mutex::new(worker),
            cancelled,
        }))
    }

    /// Cleans up a file, now or soon.
    pub(super) async fn clean(&self, path: String) {
        match &self.queue {
            None => self.job.clean(path).await,
            Some(queue) => {
                if let Err(mpsc::error::TrySendError::Full(path)) = queue.try_send(path) {
                    tracing::warn!(path, "too many files wait to be cleaned up: the file stays");
                }
            }
        }
    }

    /// Ends after the files that are being cleaned up now.
    pub(super) async fn stop(&self) {
        self.cancelled.cancel();
        if let Some(worker) = self.worker.lock().await.take() {
            let _ = worker.await;
        }
    }

    /// Waits until everything that was queued is done.
    #[cfg(test)]
    pub(super) async fn drain(mut self) {
        self.queue = None;
        let worker = self.worker.lock().await.take();
        if let Some(worker) = worker {
            worker.await.unwrap();
        }
    }
}

async fn run(
    job: Arc<Job>,
    mut queue: mpsc::Receiver<String>,
    threads: usize,
    cancelled: CancellationToken,
) {
    let paths = futures::stream::poll_fn(move |context| queue.poll_recv(context));
    paths
        .take_until(cancelled.cancelled_owned())
        .for_each_concurrent(threads, |path| {
            let job = Arc::clone(&job);
            async move { job.clean(path).await }
        })
        .await;
}

impl Job {
    async fn clean(&self, path: String) {
        let done = match &self.fs {
            FileSystem::Local => {
                let (action, path) = (self.action.clone(), path.clone());
                let work = move || match action {
                    Action::Delete => fs::remove_file(&path),
                    Action::Archive { base } => archive(&path, &base),
                };
                tokio::task::spawn_blocking(work)
                    .await
                    .map_err(|e| e.to_string())
                    .and_then(|done| done.map_err(|e| e.to_string()))
            }
            FileSystem::Object { store, .. } => {
                let from = object_path(&path);
                match &self.action {
                    Action::Delete => store.delete(&from).await,
                    Action::Archive { base } => {
                        store
                            .rename_if_not_exists(&from, &object_path(&format!("{base}{path}")))
                            .await
                    }
                }
                .map_err(|e| e.to_string())
            }
        };
        if let Err(error) = done {
            tracing::warn!(path, error, "cannot clean up the file: it stays");
        }
    }
}

fn archive(path: &str, base: &str) -> io::Result<()> {
    let target = format!("{}{path}", base.trim_end_matches('/'));
    if fs::exists(&target)? {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{target} is there already"),
        ));
    }
    if let Some(parent) = std::path::Path::new(&target).parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(path, &target) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(path, &target)?;
            fs::remove_file(path)
        }
        done => done,
    }
}

/// An archived file must not match the source's pattern again. Patterns and archive are compared
/// component by component as deep as both go.
fn check_archive(source: &Location, archive: &Location) -> Result<(), ConnectorError> {
    let same_system = match (&source.fs, &archive.fs) {
        (FileSystem::Local, FileSystem::Local) => true,
        (FileSystem::Object { root: source, .. }, FileSystem::Object { root: archive, .. }) => {
            source == archive
        }
        _ => false,
    };
    if !same_system {
        return Err(ConnectorError::BadPath {
            path: archive.hadoop_text(),
            reason: "sourceArchiveDir must be on the file system of the source".to_owned(),
        });
    }
    let components = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    for (pattern, name) in components(&source.path)
        .iter()
        .zip(components(&archive.path))
    {
        if !Glob::new(pattern)?.matches(&name) {
            return Ok(());
        }
    }
    Err(ConnectorError::ArchiveDirInSource)
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    fn local(path: &str) -> Location {
        Location::parse(path).unwrap()
    }

    #[test]
    fn an_archive_that_the_source_could_match_is_refused() {
        for (source, archive, fine) in [
            ("/x/in", "/x/in/arch", false),
            ("/x/in", "/x/in", false),
            ("/x/in", "/x", false),
            ("/x/in", "/x/arch", true),
            ("/x/i*", "/x/inarch", false),
            ("/x/i*/y", "/x/in/z", true),
        ] {
            let checked = check_archive(&local(source), &local(archive));
            assert_eq!(checked.is_ok(), fine, "{source} {archive}");
        }
    }

    #[tokio::test]
    async fn files_are_deleted_or_moved_with_their_whole_path() {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("in")).unwrap();
        for name in ["in/a", "in/b", "in/c"] {
            fs::write(path(name), name).unwrap();
        }
        let source = local(&path("in"));
        let delete = Cleaner::start(&CleanSource::Delete, &source, 1)
            .unwrap()
            .unwrap();
        delete.clean(path("in/a")).await;
        delete.clean(path("in/nothing")).await;
        delete.drain().await;
        assert!(!fs::exists(path("in/a")).unwrap());

        let mode = CleanSource::Archive { dir: path("arch") };
        let archive = Cleaner::start(&mode, &source, 0).unwrap().unwrap();
        archive.clean(path("in/b")).await;
        let archived = format!("{}{}", path("arch"), path("in/b"));
        assert_eq!(fs::read_to_string(archived).unwrap(), "in/b");
        fs::write(path("in/b"), "again").unwrap();
        archive.clean(path("in/b")).await;
        assert_eq!(
            fs::read_to_string(path("in/b")).unwrap(),
            "again",
            "nothing is overwritten"
        );
        assert!(fs::exists(path("in/c")).unwrap());
    }
}
