//! Which state store provider a query gets, and how much of the machine it may use.
//!
//! Spark's class names choose: the HDFS-backed class keeps state in memory as columns, the RocksDB class keeps it on the
//! local disk. There is no RocksDB here, so of its options those count that bound memory; the others, and those of Spark's
//! state stores that tune what is not here, are said once to have no effect.
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, PoisonError},
};

use millstream_engine::query::{LocalStateSettings, StateProvider};
use millstream_state::StateCompression;

use crate::{
    conf::RuntimeConf,
    error::{Exception, Result, SparkError},
};

const PROVIDER_CLASS: &str = "spark.sql.streaming.stateStore.providerClass";
const COMPRESSION: &str = "spark.sql.streaming.stateStore.compression.codec";
const STATE_STORE: &str = "spark.sql.streaming.stateStore.";
const SCHEMA_CHECK: &str = "spark.sql.streaming.stateStore.stateSchemaCheck";
const ROCKSDB: &str = "spark.sql.streaming.stateStore.rocksdb.";
/// Megabytes of a query's buffers and caches together.
const MEMORY_MB: &str = "spark.sql.streaming.stateStore.rocksdb.maxMemoryUsageMB";
/// Part of those that buffers take.
const BUFFER_RATIO: &str = "spark.sql.streaming.stateStore.rocksdb.writeBufferCacheRatio";
/// Options with an effect, and those whose every value describes what is done anyway.
const EFFECTIVE: [&str; 4] = [
    MEMORY_MB,
    BUFFER_RATIO,
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled",
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows",
];
/// Options of every provider that are read, or recorded in the checkpoint.
const GENERAL: [&str; 6] = [
    PROVIDER_CLASS,
    COMPRESSION,
    "spark.sql.streaming.stateStore.minDeltasForSnapshot",
    "spark.sql.streaming.stateStore.numStateStoreInstanceMetricsToReport",
    "spark.sql.streaming.stateStore.encodingFormat",
    "spark.sql.streaming.stateStore.rowChecksum.enabled",
];

/// The provider that the session asks for.
pub(super) fn provider(conf: &RuntimeConf) -> Result<StateProvider> {
    let class = conf.get_option(PROVIDER_CLASS).unwrap_or_default();
    let provider = class.parse().map_err(|_| {
        SparkError::new(
            Exception::IllegalArgument,
            "STATE_STORE_INVALID_PROVIDER",
            &[("inputClass", class.trim())],
        )
    })?;
    for (key, why) in ineffective(conf, provider) {
        say_once(&key, why);
    }
    Ok(provider)
}

/// How state files are compressed. Spark's codecs are those of its block streams; of them the two that Arrow files know
/// are here.
pub(super) fn compression(conf: &RuntimeConf) -> Result<StateCompression> {
    let name = conf.get_option(COMPRESSION).unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let codec = name.rsplit('.').next().unwrap_or_default();
    match codec.trim_end_matches("compressioncodec") {
        "lz4" | "" => Ok(StateCompression::Lz4),
        "zstd" => Ok(StateCompression::Zstd),
        "lzf" | "snappy" => {
            say_once(
                COMPRESSION,
                "state files are not compressed with this codec: lz4 is used",
            );
            Ok(StateCompression::Lz4)
        }
        _ => Err(SparkError::new(
            Exception::IllegalArgument,
            "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
            &[("codecName", &name), ("availableCodecs", "lz4, zstd")],
        )),
    }
}

/// What the provider may use of the machine.
pub(super) fn local_state(conf: &RuntimeConf) -> Result<LocalStateSettings> {
    let explicit = conf.explicit_settings();
    let number = |key: &str, default: f64, valid: fn(f64) -> bool| -> Result<f64> {
        let Some(text) = explicit.get(key) else {
            return Ok(default);
        };
        let value = text.trim().parse().ok().filter(|value| valid(*value));
        value.ok_or_else(|| {
            SparkError::plain(
                Exception::IllegalArgument,
                format!("Invalid value for '{key}': {text}"),
            )
        })
    };
    let bytes = number(MEMORY_MB, 500.0, |value| (1.0..1e9).contains(&value))? * f64::from(1 << 20);
    let buffers = bytes * number(BUFFER_RATIO, 0.5, |value| (0.0..=1.0).contains(&value))?;
    let mut settings = LocalStateSettings {
        buffer_bytes: buffers as usize,
        cache_bytes: (bytes - buffers) as u64,
        ..LocalStateSettings::default()
    };
    let folders = explicit.get("spark.local.dir").map(String::as_str);
    if let Some(folder) = folders.and_then(|folders| folders.split(',').next()) {
        settings.folder = Path::new(folder.trim()).join("millstream-state");
    }
    Ok(settings)
}

/// The options of state stores that are set and do nothing, and why.
fn ineffective(conf: &RuntimeConf, provider: StateProvider) -> Vec<(String, &'static str)> {
    let set = conf.explicit_settings();
    let told = set.iter().filter_map(|(key, value)| {
        let why = match key.as_str() {
            SCHEMA_CHECK if value.eq_ignore_ascii_case("true") => return None,
            SCHEMA_CHECK => "state of other columns cannot be read, so columns are checked all the same",
            key if EFFECTIVE.contains(&key) || GENERAL.contains(&key) => return None,
            key if key.starts_with(ROCKSDB) && provider != StateProvider::Lsm => return None,
            key if key.starts_with(ROCKSDB) => {
                "the option tunes RocksDB, which is not used here: it has no effect"
            }
            key if key.starts_with(STATE_STORE) => {
                "the option tunes a part of Spark's state stores that these do not have: it has no effect"
            }
            _ => return None,
        };
        Some((key.clone(), why))
    });
    told.collect()
}

/// Warns of a setting, once a process.
fn say_once(key: &str, what: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.insert(key.to_string()) {
        tracing::warn!(key, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(settings: &[(&str, &str)]) -> RuntimeConf {
        let conf = RuntimeConf::default();
        for (key, value) in settings {
            conf.set(key, value).unwrap();
        }
        conf
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let conf = conf(&[
            (PROVIDER_CLASS, "org.example.Any"),
            (SCHEMA_CHECK, "false"),
            ("spark.sql.streaming.stateStore.maintenanceInterval", "1s"),
            ("spark.sql.streaming.stateStore.minDeltasForSnapshot", "5"),
            (
                "spark.sql.streaming.stateStore.rocksdb.compactOnCommit",
                "true",
            ),
            (MEMORY_MB, "100"),
        ]);
        let told = |provider| {
            let told = ineffective(&conf, provider).into_iter();
            let keys = told.map(|(key, _)| key[STATE_STORE.len()..].to_string());
            keys.collect::<Vec<_>>()
        };
        let of_all = ["maintenanceInterval", "stateSchemaCheck"];
        assert_eq!(told(StateProvider::ColumnarLog), of_all);
        let of_rocksdb = [
            "maintenanceInterval",
            "rocksdb.compactOnCommit",
            "stateSchemaCheck",
        ];
        assert_eq!(told(StateProvider::Lsm), of_rocksdb);
    }

    #[test]
    fn sparks_classes_choose_the_provider() {
        assert_eq!(provider(&conf(&[])).unwrap(), StateProvider::ColumnarLog);
        let rocksdb = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider";
        let rocksdb = provider(&conf(&[(PROVIDER_CLASS, rocksdb)]));
        assert_eq!(rocksdb.unwrap(), StateProvider::Lsm);
        let error = provider(&conf(&[(PROVIDER_CLASS, "org.example.Other")])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("STATE_STORE_INVALID_PROVIDER") && text.contains("org.example.Other"),
            "{text}"
        );
    }

    #[test]
    fn state_files_are_compressed_as_the_session_says() {
        let codec = |name: &str| compression(&conf(&[(COMPRESSION, name)]));
        assert_eq!(compression(&conf(&[])).unwrap(), StateCompression::Lz4);
        assert_eq!(codec("ZSTD").unwrap(), StateCompression::Zstd);
        let class = "org.apache.spark.io.LZ4CompressionCodec";
        assert_eq!(codec(class).unwrap(), StateCompression::Lz4);
        assert_eq!(codec("snappy").unwrap(), StateCompression::Lz4);
        assert!(codec("zip").is_err());
    }

    #[test]
    fn memory_is_split_between_buffers_and_caches() {
        let settings = local_state(&conf(&[(MEMORY_MB, "100"), (BUFFER_RATIO, "0.25")])).unwrap();
        assert_eq!(settings.buffer_bytes, 25 << 20);
        assert_eq!(settings.cache_bytes, 75 << 20);
        assert!(local_state(&conf(&[(MEMORY_MB, "much")])).is_err());
        assert!(local_state(&conf(&[(BUFFER_RATIO, "2")])).is_err());
    }
}
