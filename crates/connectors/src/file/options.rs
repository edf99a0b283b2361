//! Options of the file source.
//!
//! | option | default | |
//! |---|---|---|
//! | `path` | | one path or pattern |
//! | `maxFilesPerTrigger`, `maxBytesPerTrigger` | no limit | not both |
//! | `latestFirst` | false | newest files first; with a limit `maxFileAge` is ignored |
//! | `maxFileAge` | 7d | relative to the newest file seen |
//! | `fileNameOnly` | false | files of one name are one file |
//! | `maxCachedFiles`, `discardCachedInputRatio` | 10000, 0.2 | files kept for later batches |
//! | `cleanSource`, `sourceArchiveDir` | off | what happens to files that are done |
//! | `pathGlobFilter`, `recursiveFileLookup`, `basePath` | | as in batch |
//! | `ignoreMissingFiles`, `ignoreCorruptFiles` | the session's | as in batch |
//!
//! As in Spark, those that the listing needs are checked by `load()`, the others when the query
//! starts.
use millstream_engine::source::ReadLimit;

use super::glob::Glob;
use crate::{
    error::ConnectorError,
    options::{DurationUnit, Options, parse_duration},
    settings::ConnectorSettings,
};

/// Which files below a path are input.
#[derive(Debug, Clone, Default)]
pub struct ListingOptions {
    /// `pathGlobFilter`: names must match.
    pub name_filter: Option<Glob>,
    /// `recursiveFileLookup`: all directories are searched, and none is a partition.
    pub recursive: bool,
    /// `basePath`: where partition columns begin.
    pub base_path: Option<String>,
}

impl ListingOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// If one has a value that it does not take.
    pub fn parse(options: &Options) -> Result<Self, ConnectorError> {
        Ok(Self {
            name_filter: options.get("pathGlobFilter").map(Glob::new).transpose()?,
            recursive: options.scala_boolean("recursiveFileLookup", false)?,
            base_path: options.get("basePath").map(str::to_owned),
        })
    }
}

/// Which files that cannot be read are passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// `ignoreMissingFiles`: files that went away after they were listed.
    pub missing: bool,
    /// `ignoreCorruptFiles`: the rest of a file whose content cannot be read.
    pub corrupt: bool,
}

impl Tolerance {
    /// Reads the options; the session decides what they leave open.
    ///
    /// # Errors
    /// If one has a value that it does not take.
    pub fn parse(options: &Options, settings: &ConnectorSettings) -> Result<Self, ConnectorError> {
        let session = &settings.format;
        Ok(Self {
            missing: options.scala_boolean("ignoreMissingFiles", session.ignore_missing_files)?,
            corrupt: options.scala_boolean("ignoreCorruptFiles", session.ignore_corrupt_files)?,
        })
    }
}

/// What happens to files whose batch is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanSource {
    /// They stay.
    Off,
    /// They are deleted.
    Delete,
    /// They are moved below a directory.
    Archive {
        /// `sourceArchiveDir` as given.
        dir: String,
    },
}

/// How a stream takes up files.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStreamOptions {
    /// `maxFilesPerTrigger` or `maxBytesPerTrigger`.
    pub limit: ReadLimit,
    /// Newest files first.
    pub latest_first: bool,
    /// Age of the oldest file taken up, relative to the newest one, in milliseconds.
    pub max_file_age_ms: i64,
    /// Files of one name are one file.
    pub file_name_only: bool,
    /// Files kept for later batches.
    pub cached_files_max: usize,
    /// Share of a batch below which files are not kept for a later one.
    pub discard_ratio: f64,
    /// What happens to files whose batch is done.
    pub clean_source: CleanSource,
}

impl FileStreamOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// If one has a value that it does not take, or two contradict each other.
    pub fn parse(options: &Options) -> Result<Self, ConnectorError> {
        for option in ["modifiedbefore", "modifiedafter"] {
            if options.contains(option) {
                return Err(ConnectorError::OptionNotAllowed { option });
            }
        }
        let files = positive(options, "maxFilesPerTrigger", i32::MAX.into())?;
        let bytes = positive(options, "maxBytesPerTrigger", i64::MAX)?;
        let limit = match (files, bytes) {
            (Some(_), Some(_)) => return Err(ConnectorError::BothFileLimits),
            (Some(files), None) => ReadLimit::MaxFiles(files),
            (None, Some(bytes)) => ReadLimit::MaxBytes(bytes),
            (None, None) => ReadLimit::AllAvailable,
        };
        let latest_first = flag(options, "latestFirst")?;
        let file_name_only = flag(options, "fileNameOnly")?;
        let max_file_age_ms = max_file_age(options)?;
        warn_of_surprises(latest_first, file_name_only);
        Ok(Self {
            limit,
            latest_first,
            // With newest files first and a limit, old files wait long; forgetting them would lose
            // them.
            max_file_age_ms: match latest_first && limit != ReadLimit::AllAvailable {
                true => i64::MAX,
                false => max_file_age_ms,
            },
            file_name_only,
            cached_files_max: cached_files_max(options)?,
            discard_ratio: discard_ratio(options)?,
            clean_source: clean_source(options)?,
        })
    }
}

fn warn_of_surprises(latest_first: bool, file_name_only: bool) {
    if latest_first {
        tracing::warn!(
            "'latestFirst' is true: new files come first, which may move the watermark past the rows of older ones; \
             with a limit on files or bytes 'maxFileAge' is ignored"
        );
    }
    if file_name_only {
        tracing::warn!(
            "'fileNameOnly' is true: files of the same name in different directories are read once only"
        );
    }
}

fn positive(
    options: &Options,
    option: &'static str,
    max: i64,
) -> Result<Option<u64>, ConnectorError> {
    let Some(text) = options.get(option) else {
        return Ok(None);
    };
    let number = text
        .parse::<i64>()
        .ok()
        .filter(|number| (1..=max).contains(number));
    match number.and_then(|number| u64::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(ConnectorError::OptionValue {
            option,
            value: text.to_owned(),
            requirement: "a positive integer",
        }),
    }
}

fn flag(options: &Options, option: &'static str) -> Result<bool, ConnectorError> {
    options
        .boolean(option, false)
        .map_err(|_| ConnectorError::OptionValue {
            option,
            value: options.get(option).unwrap_or_default().to_owned(),
            requirement: "'true' or 'false'",
        })
}

fn max_file_age(options: &Options) -> Result<i64, ConnectorError> {
    let text = options.get("maxFileAge").unwrap_or("7d");
    let age_ms = parse_duration(text, DurationUnit::Millis)?;
    if age_ms < 0 {
        // Spark's own text is "requirement failed".
        return Err(ConnectorError::OptionValue {
            option: "maxFileAge",
            value: text.to_owned(),
            requirement: "a duration that is not negative",
        });
    }
    Ok(age_ms)
}

fn cached_files_max(options: &Options) -> Result<usize, ConnectorError> {
    const DEFAULT: usize = 10_000;
    let Some(text) = options.get("maxCachedFiles") else {
        return Ok(DEFAULT);
    };
    let number = text
        .parse::<i32>()
        .ok()
        .and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| ConnectorError::OptionValue {
        option: "maxCachedFiles",
        value: text.to_owned(),
        requirement: "an integer greater than or equal to 0",
    })
}

fn discard_ratio(options: &Options) -> Result<f64, ConnectorError> {
    const DEFAULT: f64 = 0.2;
    let Some(text) = options.get("discardCachedInputRatio") else {
        return Ok(DEFAULT);
    };
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| ConnectorError::OptionValue {
        option: "discardCachedInputRatio",
        value: text.to_owned(),
        requirement: "a positive float between 0 and 1",
    })
}

fn clean_source(options: &Options) -> Result<CleanSource, ConnectorError> {
    let Some(text) = options.get("cleanSource") else {
        return Ok(CleanSource::Off);
    };
    match text.to_ascii_lowercase().as_str() {
        "off" => Ok(CleanSource::Off),
        "delete" => Ok(CleanSource::Delete),
        "archive" => match options.get("sourceArchiveDir") {
            Some(dir) => Ok(CleanSource::Archive {
                dir: dir.to_owned(),
            }),
            None => Err(ConnectorError::ArchiveDirRequired),
        },
        _ => Err(ConnectorError::CleanSourceMode {
            value: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<FileStreamOptions, String> {
        let options: Options = options.iter().copied().collect();
        FileStreamOptions::parse(&options).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_sparks() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.limit, ReadLimit::AllAvailable);
        assert_eq!(options.max_file_age_ms, 7 * 86_400_000);
        assert_eq!(
            (options.cached_files_max, options.discard_ratio),
            (10_000, 0.2)
        );
        assert_eq!(options.clean_source, CleanSource::Off);
    }

    #[test]
    fn bad_values_are_refused_in_sparks_words() {
        for (options, text) in [
            (
                vec![("maxFilesPerTrigger", "0")],
                "Invalid value '0' for option 'maxFilesPerTrigger', must be a positive integer",
            ),
            (
                vec![("maxfilespertrigger", "99999999999")],
                "Invalid value '99999999999' for option 'maxFilesPerTrigger', must be a positive integer",
            ),
            (
                vec![("maxBytesPerTrigger", "1k")],
                "Invalid value '1k' for option 'maxBytesPerTrigger', must be a positive integer",
            ),
            (
                vec![("maxFilesPerTrigger", "1"), ("maxBytesPerTrigger", "1")],
                "Options 'maxFilesPerTrigger' and 'maxBytesPerTrigger' can't be both set at the same time",
            ),
            (
                vec![("latestFirst", "x")],
                "Invalid value 'x' for option 'latestFirst', must be 'true' or 'false'",
            ),
            (
                vec![("maxCachedFiles", "-1")],
                "Invalid value '-1' for option 'maxCachedFiles', must be an integer greater than or equal to 0",
            ),
            (
                vec![("discardCachedInputRatio", "2")],
                "Invalid value '2' for option 'discardCachedInputRatio', must be a positive float between 0 and 1",
            ),
            (
                vec![("cleanSource", "x")],
                "Invalid mode for clean source option Some(x). Must be one of ARCHIVE,DELETE,OFF",
            ),
            (
                vec![("cleanSource", "archive")],
                "Archive mode must be used with 'sourceArchiveDir' option.",
            ),
            (
                vec![("modifiedAfter", "2024-01-01")],
                "option 'modifiedafter' is not allowed in file stream sources",
            ),
        ] {
            assert_eq!(parse(&options).unwrap_err(), text);
        }
    }

    #[test]
    fn newest_first_with_a_limit_forgets_no_file() {
        assert_eq!(
            parse(&[("latestFirst", "true")]).unwrap().max_file_age_ms,
            7 * 86_400_000
        );
        let limited = parse(&[("latestFirst", "true"), ("maxBytesPerTrigger", "5")]).unwrap();
        assert_eq!(limited.max_file_age_ms, i64::MAX);
    }
}
