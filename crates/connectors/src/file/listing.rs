//! Which files there are.
//!
//! A streaming query looks at its directories at every trigger, and they may hold far more files
//! than arrive in between. So the work is made to grow with what is new:
//!
//! - A local directory whose modification time has not changed since it was read is not read again:
//!   one `stat`.
//! - A directory that changed is read for its names alone. Only names that were not there before
//!   are `stat`ed.
//! - What is handed out are the files that appeared, not all files.
//!
//! The price: a file that is rewritten in place keeps its name and is not noticed. Spark does not
//! read such a file again either as long as it remembers it, which is `maxFileAge` behind the
//! newest file; it would later. A directory read within [`CLOCK_GRAIN`] of its own modification
//! time is read once more, because the file system's clock may be too coarse to show another
//! change.
//!
//! Object stores have neither directories nor cheap `stat`s: each trigger lists the prefix, which
//! brings sizes and times along.
//!
//! Files and directories that begin with `_` or `.` are not input, except for partition directories
//! such as `_k=1`.
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::TryStreamExt;

use super::{
    admission::NewFile,
    glob::{Glob, expand_alternatives, is_glob},
    location::{FileSystem, Location, join, name_of, object_path, parent_of},
    options::ListingOptions,
};
use crate::error::ConnectorError;

/// Coarsest clock of a file system in use (FAT: two seconds).
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// Work done so far; what tests look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Directories read.
    pub listings: u64,
    /// Files whose size and time were asked for.
    pub file_stats: u64,
    /// Directories whose time was asked for.
    pub dir_stats: u64,
}

/// The files below a path or pattern, looked at again and again.
#[derive(Debug)]
pub(super) struct Listing {
    location: Location,
    options: ListingOptions,
    dirs: HashMap<String, Directory>,
    /// Directories that are gone, or were never met, in this round.
    round: u64,
    pub(super) effort: Effort,
}

/// A directory as it was when it was last read.
#[derive(Debug, Default)]
struct Directory {
    names: HashSet<Box<str>>,
    subdirs: Vec<String>,
    /// Its modification time, if nothing can have happened at that time after it was read.
    settled: Option<SystemTime>,
    round: u64,
}

/// What a look at the directories found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that were not there before, in no order.
    pub files: Vec<NewFile>,
    /// What the pattern stands for: the directories or files where partition columns begin.
    pub roots: Vec<String>,
}

impl Listing {
    pub(super) fn new(location: Location, options: ListingOptions) -> Self {
        Self {
            location,
            options,
            dirs: HashMap::new(),
            round: 0,
            effort: Effort::default(),
        }
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// Looks at a local path. Blocks.
    pub(super) fn poll_local(&mut self) -> Result<Found, ConnectorError> {
        self.round += 1;
        let mut found = Found {
            roots: self.roots()?,
            files: vec![],
        };
        let mut pending = Vec::new();
        for root in &found.roots {
            match fs::metadata(root) {
                Ok(metadata) if metadata.is_dir() => pending.push(root.clone()),
                Ok(metadata) => {
                    if self.is_input(name_of(root)) && self.first_sight(root) {
                        found.files.push(new_file(root.clone(), &metadata));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(ConnectorError::io("look at", root)(e)),
            }
        }
        while let Some(dir) = pending.pop() {
            self.poll_directory(&dir, &mut found.files, &mut pending)?;
        }
        let round = self.round;
        self.dirs.retain(|_, dir| dir.round == round);
        Ok(found)
    }

    /// Looks at a prefix of an object store. Hands out all files, known or not.
    pub(super) async fn poll_store(&self) -> Result<Found, ConnectorError> {
        let FileSystem::Object { store, .. } = &self.location.fs else {
            return Ok(Found::default());
        };
        let fixed = fixed_prefix(&self.location.path);
        let patterns = component_globs(&self.location.path)?;
        let prefix = object_path(&fixed);
        let mut found = Found::default();
        let mut roots = HashSet::new();
        let mut objects = store.list(Some(&prefix));
        while let Some(object) = objects.try_next().await? {
            let path = format!("/{}", object.location);
            let Some(root) = matching_root(&path, &patterns) else {
                continue;
            };
            let below = path
                .get(root.len()..)
                .unwrap_or_default()
                .trim_start_matches('/');
            let (dirs, name) = below.rsplit_once('/').unwrap_or(("", below));
            let name = if name.is_empty() {
                name_of(&path)
            } else {
                name
            };
            let wanted = dirs
                .split('/')
                .filter(|dir| !dir.is_empty())
                .all(|dir| self.descends(dir));
            roots.insert(root.to_owned());
            if wanted && self.is_input(name) {
                found.files.push(NewFile {
                    size: object.size,
                    modified_ms: object.last_modified.timestamp_millis(),
                    path,
                });
            }
        }
        found.roots = roots.into_iter().collect();
        found.roots.sort_unstable();
        Ok(found)
    }

    fn poll_directory(
        &mut self,
        path: &str,
        files: &mut Vec<NewFile>,
        pending: &mut Vec<String>,
    ) -> Result<(), ConnectorError> {
        self.effort.dir_stats += 1;
        let modified = match fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Ok(modified) => modified,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(ConnectorError::io("look at", path)(e)),
        };
        let mut dir = self.dirs.remove(path).unwrap_or_default();
        if dir.settled != Some(modified) {
            let read_at = SystemTime::now();
            self.read_directory(path, &mut dir, files)?;
            let age = read_at.duration_since(modified).unwrap_or_default();
            dir.settled = (age > CLOCK_GRAIN).then_some(modified);
        }
        dir.round = self.round;
        pending.extend(dir.subdirs.iter().cloned());
        self.dirs.insert(path.to_owned(), dir);
        Ok(())
    }

    fn read_directory(
        &mut self,
        path: &str,
        dir: &mut Directory,
        files: &mut Vec<NewFile>,
    ) -> Result<(), ConnectorError> {
        self.effort.listings += 1;
        let failed = |e| ConnectorError::io("list", path)(e);
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed(e)),
        };
        let known = std::mem::take(&mut dir.names);
        dir.subdirs.clear();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                tracing::warn!(name = ?entry.file_name(), dir = path, "file name is not UTF-8: ignored");
                continue;
            };
            // The type comes with the entry; only a link has to be followed.
            let kind = entry.file_type().map_err(failed)?;
            let full = join(path, &name);
            let is_dir = kind.is_dir() || (kind.is_symlink() && Path::new(&full).is_dir());
            if is_dir {
                if self.descends(&name) {
                    dir.subdirs.push(full);
                }
            } else if self.is_input(&name) {
                if !known.contains(name.as_str()) {
                    self.effort.file_stats += 1;
                    match fs::metadata(&full) {
                        Ok(metadata) => files.push(new_file(full, &metadata)),
                        // Gone already: not remembered, so that it is met again if it comes back.
                        Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                        Err(e) => return Err(ConnectorError::io("look at", full)(e)),
                    }
                }
                dir.names.insert(name.into_boxed_str());
            }
        }
        Ok(())
    }

    /// Whether a file that is itself a root is met for the first time.
    fn first_sight(&mut self, root: &str) -> bool {
        self.effort.file_stats += 1;
        let known = self.dirs.contains_key(root);
        let dir = Directory {
            round: self.round,
            ..Directory::default()
        };
        self.dirs.insert(root.to_owned(), dir);
        !known
    }

    fn is_input(&self, name: &str) -> bool {
        !is_hidden(name)
            && self
                .options
                .name_filter
                .as_ref()
                .is_none_or(|glob| glob.matches(name))
    }

    /// Whether files below a directory count. Without `recursiveFileLookup` only partitions do.
    fn descends(&self, dir: &str) -> bool {
        !is_hidden(dir) && (self.options.recursive || dir.contains('='))
    }

    /// What the pattern stands for.
    fn roots(&mut self) -> Result<Vec<String>, ConnectorError> {
        let mut roots = Vec::new();
        for pattern in expand_alternatives(&self.location.path) {
            let mut paths = vec!["/".to_owned()];
            for component in pattern.split('/').filter(|component| !component.is_empty()) {
                paths = if is_glob(component) {
                    self.effort.listings += paths.len() as u64;
                    matching_children(&paths, &Glob::new(component)?)?
                } else {
                    paths.iter().map(|path| join(path, component)).collect()
                };
            }
            roots.extend(paths);
        }
        roots.sort_unstable();
        roots.dedup();
        Ok(roots)
    }
}

fn matching_children(dirs: &[String], glob: &Glob) -> Result<Vec<String>, ConnectorError> {
    let mut children = Vec::new();
    for dir in dirs {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(e) => return Err(ConnectorError::io("list", dir)(e)),
        };
        for entry in entries {
            let entry = entry.map_err(ConnectorError::io("list", dir))?;
            if let Some(name) = entry.file_name().to_str()
                && !is_hidden(name)
                && glob.matches(name)
            {
                children.push(join(dir, name));
            }
        }
    }
    Ok(children)
}

fn new_file(path: String, metadata: &fs::Metadata) -> NewFile {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let modified_ms = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(e) => -i64::try_from(e.duration().as_millis()).unwrap_or(i64::MAX),
    };
    NewFile {
        path,
        size: metadata.len(),
        modified_ms,
    }
}

/// Names that are never input. Parquet's summaries are let through here, as in Spark.
pub(super) fn is_hidden(name: &str) -> bool {
    let excluded = (name.starts_with('_') && !name.contains('='))
        || name.starts_with('.')
        || name.ends_with("._COPYING_");
    excluded && !name.starts_with("_common_metadata") && !name.starts_with("_metadata")
}

/// The path up to its first component that is a pattern.
fn fixed_prefix(path: &str) -> String {
    let fixed: Vec<_> = path
        .split('/')
        .take_while(|component| !is_glob(component))
        .collect();
    fixed.join("/")
}

/// The components of every pattern that a path stands for.
fn component_globs(path: &str) -> Result<Vec<Vec<Glob>>, ConnectorError> {
    let components = |pattern: String| -> Result<Vec<Glob>, ConnectorError> {
        pattern
            .split('/')
            .filter(|component| !component.is_empty())
            .map(Glob::new)
            .collect()
    };
    expand_alternatives(path)
        .into_iter()
        .map(components)
        .collect()
}

/// The part of an object's path that matches one of the patterns.
fn matching_root<'a>(path: &'a str, patterns: &[Vec<Glob>]) -> Option<&'a str> {
    patterns.iter().find_map(|globs| {
        let mut end = 0;
        for glob in globs {
            let rest = path.get(end + 1..)?;
            let component = rest.split('/').next()?;
            if !glob.matches(component) {
                return None;
            }
            end += 1 + component.len();
        }
        path.get(..end)
    })
}

/// The directories that hold the files.
pub(super) fn directories(files: &[NewFile]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    files
        .iter()
        .map(|file| parent_of(&file.path))
        .filter(move |dir| seen.insert(*dir))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
