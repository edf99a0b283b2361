//! A session's configuration.
//!
//! Three layers, the first that has a key wins: what the session set, what the server was started with
//! (`spark-defaults.conf`, `--conf`), and the defaults of the table in `known.rs`. Keys the table does not have are kept
//! and handed back, as Spark does; typed keys of the table are checked when they are set. Static keys belong to the
//! server: a session cannot change them.
mod known;
mod value;
mod zone;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

pub use known::{KnownConf, known};
pub use value::{ConfType, parse_bytes, parse_duration_ms};
pub use zone::{arrow_zone, arrow_zone_id, parse_time_zone};

use millstream_connectors::format::TimeParserPolicy;

use crate::{
    error::{Exception, Result, SparkError, quoted},
    functions::EvalContext,
};

/// Configuration of one session; clones share it.
#[derive(Debug, Clone)]
pub struct RuntimeConf {
    server: Arc<BTreeMap<String, String>>,
    session: Arc<RwLock<BTreeMap<String, String>>>,
}

impl Default for RuntimeConf {
    fn default() -> Self {
        Self::new(Arc::new(BTreeMap::new()))
    }
}

impl RuntimeConf {
    /// A session's configuration on a server that was started with `server`.
    pub fn new(server: Arc<BTreeMap<String, String>>) -> Self {
        Self {
            server,
            session: Arc::default(),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, String>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, String>> {
        self.session.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`; `SQL_CONF_NOT_FOUND` if there is none.
    pub fn get(&self, key: &str) -> Result<String> {
        self.get_option(key).ok_or_else(|| {
            SparkError::new(
                Exception::NoSuchElement,
                "SQL_CONF_NOT_FOUND",
                &[("sqlConf", &quoted(key))],
            )
        })
    }

    /// The value of `key`, or `None` if nobody set it and it has no default.
    pub fn get_option(&self, key: &str) -> Option<String> {
        self.explicit(key)
            .or_else(|| known::find(key).and_then(|k| k.default.map(str::to_string)))
    }

    /// The value of `key`, or `default` if nobody set it.
    pub fn get_with_default(&self, key: &str, default: Option<&str>) -> Option<String> {
        self.explicit(key).or_else(|| default.map(str::to_string))
    }

    fn explicit(&self, key: &str) -> Option<String> {
        self.read()
            .get(key)
            .or_else(|| self.server.get(key))
            .cloned()
    }

    /// Sets `key`. Static keys and values of the wrong type are refused.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        if let Some(known) = known::find(key) {
            if known.is_static {
                return Err(cannot_modify(key));
            }
            known.check(value)?;
        } else if known::is_static_name(key) {
            return Err(cannot_modify(key));
        }
        self.write().insert(key.to_string(), value.to_string());
        Ok(())
    }

    /// Takes back what the session set.
    pub fn unset(&self, key: &str) -> Result<()> {
        if known::find(key).is_some_and(|k| k.is_static) {
            return Err(cannot_modify(key));
        }
        self.write().remove(key);
        Ok(())
    }

    /// Everything that was set or has a default, with keys that start with `prefix`.
    pub fn get_all(&self, prefix: Option<&str>) -> BTreeMap<String, String> {
        let prefix = prefix.unwrap_or_default();
        let mut all: BTreeMap<String, String> = known()
            .filter_map(|k| Some((k.key.to_string(), k.default?.to_string())))
            .collect();
        all.extend(self.server.iter().map(|(k, v)| (k.clone(), v.clone())));
        all.extend(self.read().iter().map(|(k, v)| (k.clone(), v.clone())));
        all.retain(|k, _| k.starts_with(prefix));
        all
    }

    /// What was set explicitly, by the session or at the server's start.
    pub fn explicit_settings(&self) -> BTreeMap<String, String> {
        let mut all = self.server.as_ref().clone();
        all.extend(self.read().iter().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// Whether a session may set `key`: it is known and not static.
    pub fn is_modifiable(&self, key: &str) -> bool {
        known::find(key).is_some_and(|k| !k.is_static)
    }

    /// The value of a BOOLEAN key; `false` if it is not set.
    pub fn flag(&self, key: &str) -> bool {
        self.get_option(key)
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("true"))
    }

    /// The value of an integer key.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.get_option(key)?.trim().parse().ok()
    }

    /// `spark.sql.ansi.enabled`.
    pub fn ansi(&self) -> bool {
        self.flag("spark.sql.ansi.enabled")
    }

    /// `spark.sql.caseSensitive`.
    pub fn case_sensitive(&self) -> bool {
        self.flag("spark.sql.caseSensitive")
    }

    /// `spark.sql.session.timeZone`.
    pub fn time_zone(&self) -> String {
        self.explicit("spark.sql.session.timeZone")
            .unwrap_or_else(zone::local_zone)
    }

    /// `spark.sql.legacy.timeParserPolicy`.
    pub fn time_parser_policy(&self) -> TimeParserPolicy {
        let policy = self.get_option("spark.sql.legacy.timeParserPolicy");
        match policy
            .map(|name| name.trim().to_ascii_uppercase())
            .as_deref()
        {
            Some("LEGACY") => TimeParserPolicy::Legacy,
            Some("EXCEPTION") => TimeParserPolicy::Exception,
            _ => TimeParserPolicy::Corrected,
        }
    }

    /// What kernels need to know.
    pub fn eval_context(&self) -> Arc<EvalContext> {
        Arc::new(EvalContext {
            ansi: self.ansi(),
            time_zone: self.time_zone(),
            time_parser: self.time_parser_policy(),
        })
    }

    /// A copy that later changes do not reach: what a streaming query runs under.
    pub fn snapshot(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            session: Arc::new(RwLock::new(self.read().clone())),
        }
    }
}

fn cannot_modify(key: &str) -> SparkError {
    SparkError::analysis("CANNOT_MODIFY_STATIC_CONFIG", &[("key", &quoted(key))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf() -> RuntimeConf {
        RuntimeConf::new(Arc::new(
            [("spark.app.name".to_string(), "x".to_string())].into(),
        ))
    }

    #[test]
    fn session_wins_over_server_and_default() {
        let conf = conf();
        assert_eq!(conf.get("spark.sql.shuffle.partitions").unwrap(), "200");
        conf.set("spark.sql.shuffle.partitions", "3").unwrap();
        assert_eq!(conf.get("spark.sql.shuffle.partitions").unwrap(), "3");
        conf.unset("spark.sql.shuffle.partitions").unwrap();
        assert_eq!(conf.get("spark.sql.shuffle.partitions").unwrap(), "200");
        assert_eq!(conf.get("spark.app.name").unwrap(), "x");
    }

    #[test]
    fn unknown_static_and_mistyped_keys_are_refused() {
        let conf = conf();
        assert_eq!(
            conf.get("spark.nope").unwrap_err().class,
            "SQL_CONF_NOT_FOUND"
        );
        let error = conf.set("spark.sql.warehouse.dir", "/x").unwrap_err();
        assert_eq!(error.class, "CANNOT_MODIFY_STATIC_CONFIG");
        assert!(conf.set("spark.sql.shuffle.partitions", "many").is_err());
    }

    #[test]
    fn snapshot_does_not_see_later_changes() {
        let conf = conf();
        let before = conf.snapshot();
        conf.set("a", "1").unwrap();
        assert_eq!(before.get_option("a"), None);
    }
}
