//! `readStream.format("json").load(path)`: what is found out before a query starts.
//!
//! The files that are there now decide the partition columns, and the schema if it is to be
//! inferred. Later files do not change either.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use millstream_engine::{
    BoxError,
    source::{Source, SourceContext, SourceDefinition},
};

use super::{
    admission::NewFile,
    filter::{Filterable, RowConditions},
    glob::is_glob,
    listing::{Found, Listing, directories},
    location::{FileSystem, Location},
    options::{ListingOptions, Tolerance},
    partition_values::{ValueRules, discover},
    scan::{FileReading, metadata_field},
    source::FileSource,
};
use crate::{
    error::ConnectorError,
    format::{FileFormat, FileRef, file_format},
    options::Options,
    registry::SourceRequest,
    settings::ConnectorSettings,
};

/// A stream of files that was described and checked.
#[derive(Debug, Clone)]
pub struct FileDefinition {
    pub(super) options: Options,
    pub(super) settings: ConnectorSettings,
    pub(super) location: Location,
    pub(super) listing: ListingOptions,
    /// `basePath`, resolved.
    pub(super) base: Option<String>,
    pub(super) reading: FileReading,
    /// The names of columns that the user's schema repeats, by the names that tell them apart in plans.
    pub(super) repeated: HashMap<String, String>,
}

impl FileDefinition {
    /// Checks what `load()` says, and looks at the files.
    ///
    /// # Errors
    /// If path, schema or options are missing or wrong, or the directories contradict each other.
    pub async fn resolve(request: &SourceRequest) -> Result<Self, ConnectorError> {
        let format = file_format(&request.format, &request.options, &request.settings.format)?;
        Self::with_format(request, format).await
    }

    pub(super) async fn with_format(
        request: &SourceRequest,
        format: Arc<dyn FileFormat>,
    ) -> Result<Self, ConnectorError> {
        let SourceRequest {
            options, settings, ..
        } = request;
        let location = Location::parse(single_path(options, &request.paths, "load")?)?;
        let fixed_schema = format.name() == "text";
        if request.user_schema.is_none() && !fixed_schema && !settings.schema_inference {
            return Err(ConnectorError::SchemaRequired);
        }
        let listing = ListingOptions::parse(options)?;
        let tolerance = Tolerance::parse(options, settings)?;
        if !is_glob(&location.path) && !exists(&location).await? {
            let path = match location.fs {
                FileSystem::Local => location.path.clone(),
                FileSystem::Object { .. } => location.hadoop_text(),
            };
            return Err(ConnectorError::PathNotFound { path });
        }
        let base = base_path(&listing)?;
        let found = list_once(location.clone(), listing.clone()).await?;
        let rules = value_rules(settings);
        let bases = bases(base.as_deref(), &found.roots)?;
        let partitions = partition_columns(&found.files, &bases, &location, &listing, rules)?;
        let schema = match &request.user_schema {
            Some(schema) => Arc::clone(schema),
            None => infer(format.as_ref(), &location.fs, found.files).await?,
        };
        let schema = if settings.force_nullable {
            nullable(&schema)
        } else {
            schema
        };
        let (schema, repeated) = told_apart(&schema);
        let (data_schema, partition_columns) =
            split_schema(&schema, partitions, settings.format.case_sensitive);
        let fs = location.fs.clone();
        let reading = FileReading {
            format,
            fs,
            data_schema,
            partition_columns,
            rules,
            tolerance,
            with_metadata: false,
        };
        Ok(Self {
            options: options.clone(),
            settings: settings.clone(),
            location,
            listing,
            base,
            reading,
            repeated,
        })
    }

    /// The columns as the user named them. Spark lets a schema repeat a name until a batch is read.
    pub fn shown_schema(&self) -> SchemaRef {
        let schema = self.reading.schema();
        let shown = schema.fields().iter().map(|field| {
            let name = self.repeated.get(field.name());
            name.map_or_else(
                || Arc::clone(field),
                |name| Arc::new(field.as_ref().clone().with_name(name)),
            )
        });
        Arc::new(Schema::new(shown.collect::<Fields>()))
    }

    /// The `_metadata` column, which rows have if [`FileDefinition::with_metadata_column`] asks for
    /// it.
    pub fn metadata_field() -> Field {
        metadata_field()
    }

    /// The same stream, with the `_metadata` column as its last one.
    #[must_use]
    pub fn with_metadata_column(mut self) -> Self {
        self.reading.with_metadata = true;
        self
    }
}

#[async_trait]
impl SourceDefinition for FileDefinition {
    fn format(&self) -> &str {
        self.reading.format.name()
    }

    fn schema(&self) -> SchemaRef {
        self.reading.schema()
    }

    fn applies(&self, filter: &Expr) -> TableProviderFilterPushDown {
        let corrupt = self.options.get("columnNameOfCorruptRecord");
        let settings = &self.settings.format;
        Filterable {
            partition_columns: &self.reading.partition_columns,
            schema: &self.reading.schema(),
            rows: RowConditions::of(self.reading.format.name()),
            corrupt_column: corrupt.unwrap_or(&settings.column_name_of_corrupt_record),
        }
        .applies(filter)
    }

    async fn create(&self, context: SourceContext) -> Result<Arc<dyn Source>, BoxError> {
        Ok(Arc::new(FileSource::create(self, context).await?))
    }
}

/// The one path, whichever way it was given.
pub(super) fn single_path<'a>(
    options: &'a Options,
    paths: &'a [String],
    method: &'static str,
) -> Result<&'a str, ConnectorError> {
    match (options.get("path"), paths) {
        (None, []) => Err(ConnectorError::PathRequired),
        (Some(path), []) => Ok(path),
        (None, [path]) => Ok(path),
        (Some(_), _) => Err(ConnectorError::PathGivenTwice { method }),
        (None, paths) => Err(ConnectorError::Unsupported {
            feature: format!(
                "a stream of files from several paths ({})",
                paths.join(", ")
            ),
        }),
    }
}

/// Lists a path that nobody has listed before.
pub(super) async fn list_once(
    location: Location,
    options: ListingOptions,
) -> Result<Found, ConnectorError> {
    let mut listing = Listing::new(location, options);
    match listing.location().fs {
        FileSystem::Local => blocking(move || listing.poll_local()).await,
        FileSystem::Object { .. } => listing.poll_store().await,
    }
}

/// Runs file system calls where they do not hold up other work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| ConnectorError::Io {
            operation: "wait for",
            path: "the file system".to_owned(),
            source: std::io::Error::other(e),
        })?
}

/// Whether anything is at the path.
pub(super) async fn exists(location: &Location) -> Result<bool, ConnectorError> {
    match &location.fs {
        FileSystem::Local => {
            let path = location.path.clone();
            blocking(move || match std::fs::exists(&path) {
                // Something below a file: it is not there.
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
                found => found.map_err(ConnectorError::io("look at", path)),
            })
            .await
        }
        FileSystem::Object { store, .. } => {
            use futures::StreamExt;
            let prefix = super::location::object_path(&location.path);
            Ok(store
                .list(Some(&prefix))
                .next()
                .await
                .transpose()?
                .is_some())
        }
    }
}

fn base_path(listing: &ListingOptions) -> Result<Option<String>, ConnectorError> {
    let Some(text) = &listing.base_path else {
        return Ok(None);
    };
    let base = Location::parse(text)?;
    if matches!(base.fs, FileSystem::Local) && !std::path::Path::new(&base.path).is_dir() {
        return Err(ConnectorError::BasePathNotDirectory);
    }
    Ok(Some(base.path))
}

/// Where partition columns begin: `basePath`, or what the path stands for.
pub(super) fn bases(base: Option<&str>, roots: &[String]) -> Result<Vec<String>, ConnectorError> {
    let Some(base) = base else {
        return Ok(roots.to_vec());
    };
    match roots.iter().find(|root| !is_below(root, base)) {
        Some(root) => Err(ConnectorError::WrongBasePath {
            base_path: base.to_owned(),
            path: root.clone(),
        }),
        None => Ok(vec![base.to_owned()]),
    }
}

/// Whether a path is the base or something in it.
pub(super) fn is_below(path: &str, base: &str) -> bool {
    let base = base.trim_end_matches('/');
    path.strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn partition_columns(
    files: &[NewFile],
    bases: &[String],
    location: &Location,
    listing: &ListingOptions,
    rules: ValueRules,
) -> Result<Vec<Field>, ConnectorError> {
    if listing.recursive {
        return Ok(vec![]);
    }
    // A root that is itself a file begins at its directory.
    let mut bases = bases.to_vec();
    let roots: Vec<_> = files
        .iter()
        .filter(|file| bases.contains(&file.path))
        .collect();
    bases.extend(
        roots
            .iter()
            .map(|file| super::location::parent_of(&file.path).to_owned()),
    );
    discover(directories(files), &bases, &location.fs, rules)
}

pub(super) fn value_rules(settings: &ConnectorSettings) -> ValueRules {
    ValueRules {
        infer: settings.partition_type_inference,
        zone: settings.format.time_zone,
        timestamp_ntz: settings.format.infer_timestamp_ntz,
    }
}

pub(super) async fn infer(
    format: &dyn FileFormat,
    fs: &FileSystem,
    files: Vec<NewFile>,
) -> Result<SchemaRef, ConnectorError> {
    let files: Vec<_> = files
        .into_iter()
        .map(|file| FileRef {
            location: fs.file(&file.path),
            url: fs.url(&file.path),
            size: file.size,
            modified_ms: file.modified_ms,
        })
        .collect();
    Ok(format.infer_schema(&files).await?)
}

/// The schema without repeated names, and the names that were repeated by their new ones.
fn told_apart(schema: &Schema) -> (Schema, HashMap<String, String>) {
    let (mut seen, mut repeated) = (HashSet::new(), HashMap::new());
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        if seen.insert(field.name()) {
            return Arc::clone(field);
        }
        let name = format!("{}#{index}", field.name());
        repeated.insert(name.clone(), field.name().clone());
        Arc::new(field.as_ref().clone().with_name(name))
    });
    let fields: Fields = fields.collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    (schema, repeated)
}

/// Columns in the files, and in the paths. A partition column that the user declared has the user's
/// type.
pub(super) fn split_schema(
    schema: &Schema,
    partitions: Vec<Field>,
    case_sensitive: bool,
) -> (SchemaRef, Vec<Field>) {
    let same = |left: &str, right: &str| {
        if case_sensitive {
            left == right
        } else {
            left.eq_ignore_ascii_case(right)
        }
    };
    let partitions: Vec<_> = partitions
        .into_iter()
        .map(|field| {
            let declared = schema
                .fields()
                .iter()
                .find(|other| same(other.name(), field.name()));
            declared.map_or(field, |declared| declared.as_ref().clone())
        })
        .collect();
    let in_files = |field: &&FieldRef| {
        !partitions
            .iter()
            .any(|partition| same(partition.name(), field.name()))
    };
    let fields: Vec<_> = schema.fields().iter().filter(in_files).cloned().collect();
    (Arc::new(Schema::new(fields)), partitions)
}

/// The schema with every field nullable, at every depth.
pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(nullable_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn nullable_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(nullable_field).collect::<Fields>())
        }
        DataType::List(item) => DataType::List(nullable_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(nullable_entries(entries), *sorted),
        other => other.clone(),
    };
    Arc::new(
        field
            .as_ref()
            .clone()
            .with_data_type(data_type)
            .with_nullable(true),
    )
}

/// Keys of a map, and the map's entries themselves, are never null.
fn nullable_entries(entries: &FieldRef) -> FieldRef {
    let DataType::Struct(fields) = entries.data_type() else {
        return Arc::clone(entries);
    };
    let field = |(i, field): (usize, &FieldRef)| {
        let nullable = nullable_field(field);
        if i == 0 {
            Arc::new(nullable.as_ref().clone().with_nullable(false))
        } else {
            nullable
        }
    };
    let fields: Fields = fields.iter().enumerate().map(field).collect();
    Arc::new(
        entries
            .as_ref()
            .clone()
            .with_data_type(DataType::Struct(fields)),
    )
}
