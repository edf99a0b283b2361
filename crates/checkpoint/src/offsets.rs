//! `offsets/N`: the intent of batch N, written before anything of it runs.
//!
//! ```text
//! v1
//! {"batchWatermarkMs":0,"batchTimestampMs":1717236000000,"conf":{…}}
//! {"logOffset":4}
//! -
//! ```
//!
//! After the version come the batch's metadata and one line a source, in plan order: where the
//! batch ends for that source, or `-` if the source has not had data yet. A batch starts where the
//! batch before it ends. Whatever happens, a re-run of N reads the same ranges under the same
//! watermark, the same batch time and the same pinned confs.
//!
//! Spark 4.2 added `v2`, whose lines read `name:offset`. It is read as long as the names are the
//! plan positions `0`, `1`, …, which is what Spark writes for sources without a name; what follows
//! is written as `v1`, which Spark resumes from, too. An empty metadata line is Spark's continuous
//! mode, whose epochs cannot be re-run as batches; such a record is refused.
use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{
    CheckpointError, LogKind,
    entry::{EntryError, LogEntry, split_version},
    scala_map::in_scala_order,
};

/// The conf under which a record says in how many partitions state is.
pub const STATE_PARTITIONS: &str = "spark.sql.shuffle.partitions";

const MAX_VERSION: u32 = 2;
const NO_OFFSET: &str = "-";

/// Where each source of a query stands at the end of a batch, and under which conditions it ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetSeq {
    /// Conditions of the batch.
    pub metadata: OffsetSeqMetadata,
    /// End offsets in plan order, as the JSON text of their sources; `None` if a source has not had
    /// data yet.
    pub offsets: Vec<Option<String>>,
}

/// What a re-run of a batch must take over besides its ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetSeqMetadata {
    /// The watermark the batch runs under, milliseconds since the epoch; 0 before there is one.
    pub batch_watermark_ms: i64,
    /// What `current_timestamp()` is in the batch, milliseconds since the epoch.
    pub batch_timestamp_ms: i64,
    /// The confs that must not change while the checkpoint lives, by their Spark names.
    #[serde(serialize_with = "scala_ordered")]
    pub conf: BTreeMap<String, String>,
}

fn scala_ordered<S: Serializer>(
    conf: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(conf.len()))?;
    for (key, value) in in_scala_order(conf) {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

impl OffsetSeq {
    /// In how many partitions state is once the batch is done, if the record says so in a number.
    pub fn state_partitions(&self) -> Option<usize> {
        self.metadata.conf.get(STATE_PARTITIONS)?.parse().ok()
    }

    /// The number of state partitions before and after, if this is the record of a batch that changes
    /// it; `previous` is the record before it. Such a batch reads nothing.
    pub fn repartitions(&self, previous: &Self) -> Option<(usize, usize)> {
        let (before, after) = (previous.state_partitions()?, self.state_partitions()?);
        (before != after).then_some((before, after))
    }

    /// Checks that the record has one line for each of the query's sources.
    ///
    /// # Errors
    /// [`CheckpointError::SourceCountMismatch`], in Spark's words.
    pub fn check_sources(&self, requested: usize) -> Result<(), CheckpointError> {
        let recorded = self.offsets.len();
        if recorded == requested {
            return Ok(());
        }
        Err(CheckpointError::SourceCountMismatch {
            recorded,
            requested,
        })
    }
}

impl LogEntry for OffsetSeq {
    const KIND: LogKind = LogKind::Offsets;

    fn encode(&self) -> Result<String, EntryError> {
        let mut text = String::from("v1\n");
        text.push_str(&serde_json::to_string(&self.metadata).map_err(EntryError::malformed)?);
        for (index, offset) in self.offsets.iter().enumerate() {
            let line = offset.as_deref().unwrap_or(NO_OFFSET);
            let ambiguous = offset.is_some() && line == NO_OFFSET;
            if line.is_empty() || ambiguous || line.contains(['\n', '\r']) {
                return Err(EntryError::malformed(format!(
                    "the offset of source {index} is not one line of text: {line:?}"
                )));
            }
            text.push('\n');
            text.push_str(line);
        }
        Ok(text)
    }

    fn decode(text: &str) -> Result<Self, EntryError> {
        let (version, mut lines) = split_version(text, MAX_VERSION)?;
        let Some(metadata) = lines.next() else {
            return Err(EntryError::malformed(
                "the file ends after the version line",
            ));
        };
        if metadata.trim().is_empty() {
            return Err(EntryError::malformed(
                "it has no batch metadata: it was written in continuous mode, which cannot be \
                 resumed here",
            ));
        }
        let metadata = serde_json::from_str(metadata)
            .map_err(|e| EntryError::malformed(format!("the batch metadata is not valid ({e})")))?;
        let offsets = lines
            .enumerate()
            .map(|(index, line)| {
                let offset = if version == 1 {
                    Ok(line)
                } else {
                    unnamed(index, line)
                }?;
                if offset.is_empty() {
                    return Err(EntryError::malformed(format!(
                        "source {index} has an empty line"
                    )));
                }
                Ok((offset != NO_OFFSET).then(|| offset.to_owned()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { metadata, offsets })
    }
}

/// The offset in the line of a v2 record, whose name must be the position of the source.
fn unnamed(index: usize, line: &str) -> Result<&str, EntryError> {
    let Some((name, offset)) = line.split_once(':') else {
        return Err(EntryError::malformed(format!("no source name in {line:?}")));
    };
    if name == index.to_string() {
        return Ok(offset);
    }
    let cause: Cow<'_, str> = if name.bytes().all(|b| b.is_ascii_digit()) {
        format!("source {index} is recorded as {name}").into()
    } else {
        format!("it names its sources ('{name}'), and named sources cannot be resumed here").into()
    };
    Err(EntryError::malformed(cause))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> OffsetSeq {
        OffsetSeq {
            metadata: OffsetSeqMetadata {
                batch_watermark_ms: 5,
                batch_timestamp_ms: 1_717_236_000_000,
                conf: [("spark.sql.shuffle.partitions".into(), "2".into())].into(),
            },
            offsets: vec![Some(r#"{"logOffset":4}"#.into()), None, Some("17".into())],
        }
    }

    #[test]
    fn bytes_are_sparks() {
        let text = "v1\n{\"batchWatermarkMs\":5,\"batchTimestampMs\":1717236000000,\
                    \"conf\":{\"spark.sql.shuffle.partitions\":\"2\"}}\n{\"logOffset\":4}\n-\n17";
        assert_eq!(record().encode().unwrap(), text);
        assert_eq!(OffsetSeq::decode(text).unwrap(), record());
    }

    #[test]
    fn a_record_with_another_number_of_partitions_changes_it() {
        let counts = |text: &str| {
            let mut record = record();
            let conf = &mut record.metadata.conf;
            conf.insert(STATE_PARTITIONS.into(), text.into());
            record
        };
        assert_eq!(record().state_partitions(), Some(2));
        assert_eq!(counts("7").repartitions(&record()), Some((2, 7)));
        assert_eq!(record().repartitions(&record()), None);
        assert_eq!(counts("many").repartitions(&record()), None);
        assert_eq!(record().repartitions(&OffsetSeq::default()), None);
    }

    #[test]
    fn v2_with_positions_reads_like_v1() {
        let text = "v2\n{\"batchWatermarkMs\":5,\"batchTimestampMs\":1717236000000,\"conf\":\
                    {\"spark.sql.shuffle.partitions\":\"2\"},\"sourceMetadataInfo\":{}}\n\
                    0:{\"logOffset\":4}\n1:-\n2:17";
        assert_eq!(OffsetSeq::decode(text).unwrap(), record());
    }

    #[test]
    fn missing_metadata_keys_take_sparks_defaults_and_unknown_ones_are_skipped() {
        let read = OffsetSeq::decode("v1\n{\"batchTimestampMs\":3,\"later\":[1]}\n0").unwrap();
        assert_eq!(read.metadata.batch_timestamp_ms, 3);
        assert_eq!(read.metadata.batch_watermark_ms, 0);
        assert!(read.metadata.conf.is_empty());
    }

    #[test]
    fn damaged_records_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("v1", "ends after the version"),
            ("v1\n{\"batchWatermarkMs\":0,", "metadata is not valid"),
            ("v1\n\n{\"logOffset\":12}", "continuous mode"),
            ("v1\n{}\n\n-", "source 0 has an empty line"),
            ("v2\n{}\n{1}", "no source name"),
            ("v2\n{}\norders:{\"logOffset\":1}", "'orders'"),
            ("v2\n{}\n1:3", "source 0 is recorded as 1"),
        ] {
            let error = OffsetSeq::decode(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let newer = OffsetSeq::decode("v9\n{}\n-").unwrap_err();
        assert_eq!(
            newer,
            EntryError::UnsupportedVersion {
                version: 9,
                max_supported: 2
            }
        );
    }

    #[test]
    fn offsets_that_would_read_back_differently_are_not_written() {
        for offset in ["", "-", "{\n}", "a\rb"] {
            let record = OffsetSeq {
                offsets: vec![Some(offset.into())],
                ..OffsetSeq::default()
            };
            let error = record.encode().unwrap_err().to_string();
            assert!(error.contains("source 0"), "{error}");
        }
    }

    #[test]
    fn another_number_of_sources_is_refused_in_sparks_words() {
        let error = record().check_sources(2).unwrap_err().to_string();
        assert_eq!(
            error,
            "There are [3] sources in the checkpoint offsets and now there are [2] sources \
             requested by the query. Cannot continue."
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            batch_watermark_ms: i64,
            batch_timestamp_ms: i64,
            conf in prop::collection::btree_map(".{0,12}", ".{0,12}", 0..40),
            offsets in prop::collection::vec(prop::option::of("[^\r\n]{2,20}"), 0..5),
        ) {
            let metadata = OffsetSeqMetadata { batch_watermark_ms, batch_timestamp_ms, conf };
            let record = OffsetSeq { metadata, offsets };
            let text = record.encode().unwrap();
            prop_assert_eq!(OffsetSeq::decode(&text).unwrap(), record);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(v[0-9]\n)?.{0,60}") {
            let _ = OffsetSeq::decode(&text);
        }
    }
}
