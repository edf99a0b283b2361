//! Artifacts: what clients upload into their session.
//!
//! Two kinds matter. `cache/<sha256>` is data of a local relation that is too large for a plan; it stays in memory
//! until the session ends. Everything else (`pyfiles/…`, `files/…`, `archives/…`) is a file for Python code to use,
//! and is written below a folder of the session, which goes away with it.
//!
//! An upload arrives in pieces with a CRC-32 each. An artifact with a damaged piece is not stored, and the answer
//! says so; the client then fails on its side.
use std::{
    collections::HashMap,
    io,
    path::{Component, Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use millstream_spark::error::{Exception, SparkError};
use spark_connect_proto::{
    add_artifacts_request::{ArtifactChunk, BeginChunkedArtifact, Payload},
    add_artifacts_response::ArtifactSummary,
};
use tempfile::TempDir;

use crate::error::{self, invalid_request};

/// Prefix of the names of cached local relation data.
const CACHE: &str = "cache/";

/// Folders of an upload that only a JVM could use.
const JVM_FOLDERS: [&str; 2] = ["jars/", "classes/"];

/// The artifacts of one session.
#[derive(Debug, Default)]
pub struct Artifacts {
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    cache: HashMap<String, Bytes>,
    folder: Option<TempDir>,
}

impl Artifacts {
    /// Whether there is an artifact of that name. Only cached data are asked for.
    pub fn exists(&self, name: &str) -> bool {
        name.strip_prefix(CACHE)
            .is_some_and(|hash| self.lock().cache.contains_key(hash))
    }

    /// Data of a local relation by their hash.
    pub fn cached(&self, hash: &str) -> Option<Bytes> {
        self.lock().cache.get(hash).cloned()
    }

    /// The folder with the session's files, if any were uploaded.
    pub fn folder(&self) -> Option<PathBuf> {
        self.lock()
            .folder
            .as_ref()
            .map(|folder| folder.path().to_path_buf())
    }

    /// What a clone of the session starts with: the cached data. Files are not shared, since they may change.
    pub fn copy_cache(&self) -> Self {
        let stored = Stored {
            cache: self.lock().cache.clone(),
            folder: None,
        };
        Self {
            stored: Mutex::new(stored),
        }
    }

    fn store(&self, name: &str, data: Bytes) -> Result<(), SparkError> {
        if let Some(hash) = name.strip_prefix(CACHE) {
            self.lock().cache.insert(hash.to_string(), data);
            return Ok(());
        }
        if JVM_FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            tracing::warn!(
                name,
                "artifact stored, but without effect: there is no JVM to load it"
            );
        }
        let mut stored = self.lock();
        let written = match &stored.folder {
            Some(folder) => write_file(folder.path(), name, &data),
            None => tempfile::Builder::new()
                .prefix("millstream-artifacts-")
                .tempdir()
                .and_then(|folder| {
                    let written = write_file(folder.path(), name, &data);
                    stored.folder = Some(folder);
                    written
                }),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => already_exists(name),
            _ => SparkError::plain(
                Exception::Spark,
                format!("cannot store artifact {name}: {error}"),
            ),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a file that must be new, or have the same content.
fn write_file(folder: &Path, name: &str, data: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::read(&path) {
        Ok(existing) if existing == data => Ok(()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::write(&path, data),
        Err(error) => Err(error),
    }
}

/// Puts the pieces of one upload together.
#[derive(Debug, Default)]
pub struct Upload {
    current: Option<ChunkedArtifact>,
    summaries: Vec<ArtifactSummary>,
}

#[derive(Debug)]
struct ChunkedArtifact {
    name: String,
    total_bytes: usize,
    chunks_left: i64,
    data: BytesMut,
    intact: bool,
}

impl Upload {
    /// Takes the next piece; artifacts that are complete and intact are stored.
    pub fn take(&mut self, artifacts: &Artifacts, payload: Payload) -> Result<(), SparkError> {
        match payload {
            Payload::Batch(batch) => {
                self.must_be_between_artifacts()?;
                for artifact in batch.artifacts {
                    let chunk = artifact.data.unwrap_or_default();
                    let intact = is_intact(&chunk);
                    self.complete(artifacts, artifact.name, chunk.data, intact)?;
                }
                Ok(())
            }
            Payload::BeginChunk(begin) => {
                self.must_be_between_artifacts()?;
                self.begin(artifacts, begin)
            }
            Payload::Chunk(chunk) => {
                let Some(current) = &mut self.current else {
                    return Err(invalid_request(
                        "AddArtifacts: a chunk without a chunked artifact before it",
                    ));
                };
                current.append(&chunk)?;
                self.complete_if_whole(artifacts)
            }
        }
    }

    /// The answer to the upload.
    pub fn finish(self) -> Result<Vec<ArtifactSummary>, SparkError> {
        match &self.current {
            None => Ok(self.summaries),
            Some(current) => Err(invalid_request(format!(
                "AddArtifacts: the upload ended {} chunks before the end of {}",
                current.chunks_left, current.name
            ))),
        }
    }

    fn begin(
        &mut self,
        artifacts: &Artifacts,
        begin: BeginChunkedArtifact,
    ) -> Result<(), SparkError> {
        let total_bytes = usize::try_from(begin.total_bytes).map_err(|_| {
            invalid_request(format!(
                "AddArtifacts: {} has {} bytes",
                begin.name, begin.total_bytes
            ))
        })?;
        let mut artifact = ChunkedArtifact {
            name: begin.name,
            total_bytes,
            chunks_left: begin.num_chunks,
            data: BytesMut::new(),
            intact: true,
        };
        artifact.append(&begin.initial_chunk.unwrap_or_default())?;
        self.current = Some(artifact);
        self.complete_if_whole(artifacts)
    }

    fn complete_if_whole(&mut self, artifacts: &Artifacts) -> Result<(), SparkError> {
        let Some(whole) = self.current.take_if(|current| current.chunks_left <= 0) else {
            return Ok(());
        };
        if whole.intact && whole.data.len() != whole.total_bytes {
            return Err(invalid_request(format!(
                "AddArtifacts: {} has {} bytes, {} were announced",
                whole.name,
                whole.data.len(),
                whole.total_bytes
            )));
        }
        self.complete(artifacts, whole.name, whole.data.freeze(), whole.intact)
    }

    fn complete(
        &mut self,
        artifacts: &Artifacts,
        name: String,
        data: Bytes,
        intact: bool,
    ) -> Result<(), SparkError> {
        check_name(&name)?;
        if intact {
            artifacts.store(&name, data)?;
        }
        self.summaries.push(ArtifactSummary {
            name,
            is_crc_successful: intact,
        });
        Ok(())
    }

    fn must_be_between_artifacts(&self) -> Result<(), SparkError> {
        match &self.current {
            None => Ok(()),
            Some(current) => Err(invalid_request(format!(
                "AddArtifacts: another artifact begins {} chunks before the end of {}",
                current.chunks_left, current.name
            ))),
        }
    }
}

impl ChunkedArtifact {
    fn append(&mut self, chunk: &ArtifactChunk) -> Result<(), SparkError> {
        if self.data.len() + chunk.data.len() > self.total_bytes {
            return Err(invalid_request(format!(
                "AddArtifacts: more than the {} bytes announced for {}",
                self.total_bytes, self.name
            )));
        }
        self.intact &= is_intact(chunk);
        self.chunks_left -= 1;
        self.data.extend_from_slice(&chunk.data);
        Ok(())
    }
}

fn is_intact(chunk: &ArtifactChunk) -> bool {
    i64::from(crc32fast::hash(&chunk.data)) == chunk.crc
}

/// Names are relative paths that stay inside their folder.
fn check_name(name: &str) -> Result<(), SparkError> {
    if name.starts_with("forward_to_fs/") {
        return Err(SparkError::unsupported(format!(
            "copying {name} to a file system of the server (copyFromLocalToFs)"
        )));
    }
    let path = Path::new(name);
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    match inside && path.components().count() >= 2 {
        true => Ok(()),
        false => Err(error::worded(
            Exception::IllegalArgument,
            "INVALID_ARTIFACT_PATH",
            "22023",
            &[("name", name)],
            &format!(
                "Artifact with name {name} is invalid. The name must be a relative path and cannot \
                 reference parent/sibling/nephew directories."
            ),
        )),
    }
}

fn already_exists(name: &str) -> SparkError {
    error::worded(
        Exception::Runtime,
        "ARTIFACT_ALREADY_EXISTS",
        "42713",
        &[("normalizedRemoteRelativePath", name)],
        &format!(
            "The artifact {name} already exists. Please choose a different name for the new artifact \
             because it cannot be overwritten."
        ),
    )
}

#[cfg(test)]
mod tests {
    use spark_connect_proto::add_artifacts_request::{Batch, SingleChunkArtifact};

    use super::*;

    fn chunk(data: &[u8]) -> ArtifactChunk {
        ArtifactChunk {
            data: Bytes::copy_from_slice(data),
            crc: i64::from(crc32fast::hash(data)),
        }
    }

    fn single(name: &str, chunk: ArtifactChunk) -> Payload {
        let artifact = SingleChunkArtifact {
            name: name.to_string(),
            data: Some(chunk),
        };
        Payload::Batch(Batch {
            artifacts: vec![artifact],
        })
    }

    fn begin(name: &str, total_bytes: i64, num_chunks: i64, first: ArtifactChunk) -> Payload {
        let name = name.to_string();
        Payload::BeginChunk(BeginChunkedArtifact {
            name,
            total_bytes,
            num_chunks,
            initial_chunk: Some(first),
        })
    }

    fn upload(
        artifacts: &Artifacts,
        payloads: Vec<Payload>,
    ) -> Result<Vec<ArtifactSummary>, SparkError> {
        let mut upload = Upload::default();
        for payload in payloads {
            upload.take(artifacts, payload)?;
        }
        upload.finish()
    }

    #[test]
    fn chunks_become_one_cached_relation() {
        let artifacts = Artifacts::default();
        let payloads = vec![
            begin("cache/ab12", 6, 2, chunk(b"abc")),
            Payload::Chunk(chunk(b"def")),
        ];
        let summaries = upload(&artifacts, payloads).unwrap();
        assert_eq!(
            summaries,
            [ArtifactSummary {
                name: "cache/ab12".to_string(),
                is_crc_successful: true
            }]
        );
        assert!(artifacts.exists("cache/ab12"));
        assert_eq!(artifacts.cached("ab12").unwrap(), "abcdef");
    }

    #[test]
    fn a_damaged_chunk_is_reported_and_the_artifact_not_stored() {
        let artifacts = Artifacts::default();
        let damaged = ArtifactChunk {
            crc: 1,
            ..chunk(b"def")
        };
        let payloads = vec![
            begin("cache/ab12", 6, 2, chunk(b"abc")),
            Payload::Chunk(damaged),
        ];
        assert!(!upload(&artifacts, payloads).unwrap()[0].is_crc_successful);
        assert!(!artifacts.exists("cache/ab12"));
    }

    #[test]
    fn uploads_that_lie_about_their_size_are_refused() {
        let artifacts = Artifacts::default();
        for payloads in [
            vec![begin("cache/a", 2, 1, chunk(b"abc"))],
            vec![begin("cache/a", 4, 1, chunk(b"abc"))],
            vec![begin("cache/a", 6, 2, chunk(b"abc"))],
            vec![Payload::Chunk(chunk(b"abc"))],
            vec![
                begin("cache/a", 6, 2, chunk(b"abc")),
                single("cache/b", chunk(b"x")),
            ],
        ] {
            assert!(upload(&artifacts, payloads).is_err());
        }
    }

    #[test]
    fn files_go_to_a_folder_of_the_session_and_never_outside() {
        let artifacts = Artifacts::default();
        upload(
            &artifacts,
            vec![single("pyfiles/lib/x.py", chunk(b"x = 1"))],
        )
        .unwrap();
        let folder = artifacts.folder().unwrap();
        assert_eq!(
            std::fs::read(folder.join("pyfiles/lib/x.py")).unwrap(),
            b"x = 1"
        );
        for name in ["../x.py", "/etc/x.py", "pyfiles/../../x.py", "x.py", ""] {
            let refusal = upload(&artifacts, vec![single(name, chunk(b"x"))]).unwrap_err();
            assert!(refusal.is("INVALID_ARTIFACT_PATH"), "{name}: {refusal}");
        }
        drop(artifacts);
        assert!(!folder.exists());
    }

    #[test]
    fn a_file_is_not_overwritten_with_other_content() {
        let artifacts = Artifacts::default();
        let file = |content: &[u8]| vec![single("files/a.txt", chunk(content))];
        upload(&artifacts, file(b"1")).unwrap();
        upload(&artifacts, file(b"1")).unwrap();
        assert!(
            upload(&artifacts, file(b"2"))
                .unwrap_err()
                .is("ARTIFACT_ALREADY_EXISTS")
        );
    }
}
