//! The keys this engine knows, with Spark's defaults.
mod sql;
mod state;
mod streaming;

use super::ConfType;
use crate::error::{Result, SparkError};

/// A key, its default and what values it takes.
#[derive(Debug, Clone, Copy)]
pub struct KnownConf {
    /// The key.
    pub key: &'static str,
    /// Value where nobody set one.
    pub default: Option<&'static str>,
    /// Type of its values.
    pub conf_type: ConfType,
    /// Whether only the server's start can set it.
    pub is_static: bool,
}

impl KnownConf {
    /// Refuses a value of the wrong type.
    pub fn check(&self, value: &str) -> Result<()> {
        self.conf_type.check(self.key, value)?;
        if let Some(requirement) = self.unmet(value) {
            return Err(SparkError::illegal_argument(
                "INVALID_CONF_VALUE.REQUIREMENT",
                &[
                    ("confName", self.key),
                    ("confValue", value),
                    ("confRequirement", &requirement),
                ],
            ));
        }
        if self.key == "spark.sql.legacy.timeParserPolicy" {
            let options = ["EXCEPTION", "LEGACY", "CORRECTED"];
            if !options.contains(&value.to_ascii_uppercase().as_str()) {
                return Err(SparkError::illegal_argument(
                    "INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS",
                    &[
                        ("confName", self.key),
                        ("confValue", value),
                        ("confOptions", &options.join(", ")),
                    ],
                ));
            }
        }
        Ok(())
    }

    /// What Spark demands of a value of this key, if `value` does not meet it.
    fn unmet(&self, value: &str) -> Option<String> {
        let number = value.trim().parse::<i64>();
        let (met, requirement) = match self.key {
            "spark.sql.shuffle.partitions" => (
                number.is_ok_and(|n| n > 0),
                format!("The value of {} must be positive", self.key),
            ),
            "spark.sql.streaming.aggregation.stateFormatVersion"
            | "spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion" => (
                number.is_ok_and(|n| (1..=2).contains(&n)),
                "Valid versions are 1 and 2".to_string(),
            ),
            "spark.sql.streaming.join.stateFormatVersion" => (
                number.is_ok_and(|n| (1..=4).contains(&n)),
                "Valid versions are 1, 2, 3, and 4".to_string(),
            ),
            "spark.sql.streaming.multipleWatermarkPolicy" => (
                ["min", "max"].contains(&value.to_ascii_lowercase().as_str()),
                format!(
                    "Invalid value for '{}'. Valid values are 'min' and 'max'",
                    self.key
                ),
            ),
            _ => return None,
        };
        (!met).then_some(requirement)
    }
}

pub(super) fn find(key: &str) -> Option<&'static KnownConf> {
    TABLES.into_iter().find_map(|table| {
        let found = table.binary_search_by(|k| k.key.cmp(key)).ok()?;
        table.get(found)
    })
}

/// Keys of Spark's core are fixed when the application starts.
pub(super) fn is_static_name(key: &str) -> bool {
    const CORE: [&str; 5] = [
        "spark.master",
        "spark.driver.",
        "spark.executor.",
        "spark.submit.",
        "spark.ui.",
    ];
    CORE.iter().any(|prefix| key.starts_with(prefix))
}

const fn session(
    key: &'static str,
    default: Option<&'static str>,
    conf_type: ConfType,
) -> KnownConf {
    KnownConf {
        key,
        default,
        conf_type,
        is_static: false,
    }
}

const fn fixed(key: &'static str, default: Option<&'static str>, conf_type: ConfType) -> KnownConf {
    KnownConf {
        key,
        default,
        conf_type,
        is_static: true,
    }
}

/// The tables, each sorted by key.
static TABLES: [&[KnownConf]; 3] = [sql::SQL, state::STATE, streaming::STREAMING];

/// All known keys, in no order.
pub fn known() -> impl Iterator<Item = &'static KnownConf> {
    TABLES.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_spark_does_not_take_are_refused() {
        let prefix = "spark.sql.streaming";
        for (key, good, bad) in [
            ("multipleWatermarkPolicy", "MAX", "foo"),
            ("join.stateFormatVersion", "4", "9"),
            ("aggregation.stateFormatVersion", "1", "7"),
        ] {
            let known = find(&format!("{prefix}.{key}")).unwrap();
            known.check(good).unwrap();
            let error = known.check(bad).unwrap_err();
            assert!(error.is("INVALID_CONF_VALUE.REQUIREMENT"), "{key}");
        }
    }

    #[test]
    fn table_is_sorted_and_defaults_are_of_their_type() {
        for table in TABLES {
            assert!(table.is_sorted_by(|a, b| a.key < b.key));
        }
        for known in known() {
            assert!(std::ptr::eq(find(known.key).unwrap(), known));
            if let Some(default) = known.default {
                known.check(default).unwrap();
            }
        }
    }
}
