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
        let not_positive = value.trim().parse::<i64>().is_ok_and(|n| n <= 0);
        if self.key == "spark.sql.shuffle.partitions" && not_positive {
            return Err(SparkError::illegal_argument(
                "INVALID_CONF_VALUE.REQUIREMENT",
                &[
                    ("confName", self.key),
                    ("confValue", value),
                    (
                        "confRequirement",
                        &format!("The value of {} must be positive", self.key),
                    ),
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
