//! Which files a table has: as they were listed, until somebody says that they are others.
//!
//! Spark lists the files of a relation once, and so do we: files that come later do not show, ones that go away make a
//! reader fail. Whoever writes into a table through the catalog lists it anew, for everybody who holds the relation, a
//! running query too. If the one path is the output of a file sink, its log says which the files are.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use millstream_checkpoint::{Faults, SinkLog, storage};
use millstream_engine::{BoxError, source::TableWatch};

use super::{
    admission::NewFile,
    definition::{blocking, exists, list_once},
    glob::is_glob,
    listing::Found,
    location::{Location, name_of},
    options::ListingOptions,
    scan::{FileReading, PlannedFile},
    sink::METADATA_DIR,
    table::BatchReadRequest,
};
use crate::{error::ConnectorError, format::FileLocation};

/// Where a table's files are.
#[derive(Debug)]
pub(super) struct Paths {
    pub request: BatchReadRequest,
    pub locations: Vec<Location>,
    pub listing: ListingOptions,
    /// Where partition columns begin.
    pub bases: Vec<String>,
}

/// The files of a table.
#[derive(Debug)]
pub(super) struct FileIndex {
    paths: Paths,
    by_log: bool,
    /// Gives files the values of their partition columns.
    reading: Arc<FileReading>,
    files: RwLock<Arc<[PlannedFile]>>,
}

impl FileIndex {
    /// The files that were found.
    pub fn new(
        paths: Paths,
        reading: Arc<FileReading>,
        found: Found,
        by_log: bool,
    ) -> Result<Self, ConnectorError> {
        let files = planned(found, &reading, &paths.bases)?;
        Ok(Self {
            paths,
            by_log,
            reading,
            files: RwLock::new(files),
        })
    }

    /// Whether the log of a file sink says which the files are.
    pub fn is_by_log(&self) -> bool {
        self.by_log
    }

    /// The files as they were listed last.
    pub fn files(&self) -> Arc<[PlannedFile]> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lists them anew.
    pub async fn refresh(&self) -> Result<(), ConnectorError> {
        let Paths {
            request,
            locations,
            listing,
            bases,
        } = &self.paths;
        let (found, _) = find(locations, listing, request).await?;
        let files = planned(found, &self.reading, bases)?;
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }
}

fn planned(
    found: Found,
    reading: &FileReading,
    bases: &[String],
) -> Result<Arc<[PlannedFile]>, ConnectorError> {
    let files = found.files.into_iter();
    files.map(|file| reading.plan(file, bases)).collect()
}

/// The list of files, and what the local ones among them are now: they may have been written over. Objects are not asked
/// for one by one.
#[async_trait]
impl TableWatch for FileIndex {
    async fn stamp(&self) -> Result<u64, BoxError> {
        let files = self.files();
        let stamp = move || {
            let mut stamp = DefaultHasher::new();
            for PlannedFile { file, .. } in files.iter() {
                file.url.hash(&mut stamp);
                if let FileLocation::Local(path) = &file.location {
                    let there = std::fs::metadata(path).ok();
                    let there = there.map(|file| (file.len(), file.modified().ok()));
                    there.hash(&mut stamp);
                }
            }
            Ok(stamp.finish())
        };
        Ok(blocking(stamp).await?)
    }
}

pub(super) fn locations(request: &BatchReadRequest) -> Result<Vec<Location>, ConnectorError> {
    let path = request.options.get("path");
    if path.is_some() && !request.paths.is_empty() {
        return Err(ConnectorError::PathGivenTwice { method: "load" });
    }
    let paths = path
        .into_iter()
        .chain(request.paths.iter().map(String::as_str));
    let locations = paths.map(Location::parse).collect::<Result<Vec<_>, _>>()?;
    let root = |location: &Location| location.at("").hadoop_text();
    if let [first, others @ ..] = locations.as_slice()
        && let Some(other) = others.iter().find(|other| root(other) != root(first))
    {
        return Err(ConnectorError::Unsupported {
            feature: format!(
                "reading from {} and {} at once",
                first.hadoop_text(),
                other.hadoop_text()
            ),
        });
    }
    Ok(locations)
}

/// The files there are now, and whether a log says so.
pub(super) async fn find(
    locations: &[Location],
    listing: &ListingOptions,
    request: &BatchReadRequest,
) -> Result<(Found, bool), ConnectorError> {
    if let [location] = locations
        && let Some(found) = find_by_log(location, listing, request).await?
    {
        return Ok((found, true));
    }
    let mut found = Found::default();
    for location in locations {
        let one = list_once(location.clone(), listing.clone()).await?;
        let there = if is_glob(&location.path) {
            !one.roots.is_empty()
        } else {
            exists(location).await?
        };
        if !there {
            return Err(ConnectorError::PathNotFound {
                path: location.hadoop_text(),
            });
        }
        found.files.extend(one.files);
        found.roots.extend(one.roots);
    }
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    found.files.dedup_by(|a, b| a.path == b.path);
    Ok((found, false))
}

/// The files of a file sink's output, if the path is one.
async fn find_by_log(
    location: &Location,
    listing: &ListingOptions,
    request: &BatchReadRequest,
) -> Result<Option<Found>, ConnectorError> {
    let settings = &request.settings;
    let metadata = location.child(METADATA_DIR);
    if settings.ignore_sink_metadata || is_glob(&location.path) || !exists(&metadata).await? {
        return Ok(None);
    }
    let options = settings.log_options(settings.sink_log, None);
    let log = SinkLog::open(storage::open(&metadata.url())?, options, Faults::none()).await?;
    let files = log.all_files(request.clock.now_ms()).await?;
    let matches = |path: &str| {
        listing
            .name_filter
            .as_ref()
            .is_none_or(|filter| filter.matches(name_of(path)))
    };
    let files = files.into_iter().map(|file| NewFile {
        path: location.fs.path_of(&file.path),
        size: file.size,
        modified_ms: file.modification_time,
    });
    let files = files.filter(|file| matches(&file.path)).collect();
    Ok(Some(Found {
        files,
        roots: vec![location.path.clone()],
    }))
}
