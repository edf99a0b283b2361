//! The string options of a reader or writer, and the typed ways to take them out.
//!
//! Spark's option names are case-insensitive and options a format does not know are ignored. Formats parse
//! this map once into a typed struct; nothing looks at the strings after that.
use std::collections::BTreeMap;

use super::FormatError;

/// Case-insensitive option map that remembers the user's spelling of each name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    entries: BTreeMap<String, (String, String)>,
}

impl Options {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option; a later value replaces an earlier one whatever its case.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.entries
            .insert(name.to_ascii_lowercase(), (name, value.into()));
    }

    /// The value as given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries
            .get(&name.to_ascii_lowercase())
            .map(|(_, value)| value.as_str())
    }

    /// Whether the option was given.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(&name.to_ascii_lowercase())
    }

    /// Name (as the user spelt it) and value pairs, ordered by lower-case name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .values()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A flag; anything but `true` and `false` is an error, as in Spark.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, FormatError> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.invalid(name, value, format!("{name} flag can be true or false"))),
        }
    }

    /// An integer.
    pub fn integer(&self, name: &str, default: i64) -> Result<i64, FormatError> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        value.parse().map_err(|_| {
            self.invalid(
                name,
                value,
                format!("{name} should be an integer. Found {value}."),
            )
        })
    }

    /// At most one character; an empty value means "none" (NUL, as Spark has it).
    pub fn character(&self, name: &str, default: char) -> Result<char, FormatError> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        let mut characters = value.chars();
        match (characters.next(), characters.next()) {
            (None, _) => Ok('\0'),
            (Some(c), None) => Ok(c),
            _ => Err(self.invalid(
                name,
                value,
                format!("{name} cannot be more than one character"),
            )),
        }
    }

    /// A floating-point number, e.g. a sampling ratio.
    pub fn number(&self, name: &str, default: f64) -> Result<f64, FormatError> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        value
            .parse()
            .map_err(|_| self.invalid(name, value, format!("{name} should be a number")))
    }

    fn invalid(&self, option: &str, value: &str, reason: String) -> FormatError {
        FormatError::InvalidOption {
            option: option.to_owned(),
            value: value.to_owned(),
            reason,
            class: None,
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        let mut options = Self::new();
        for (name, value) in iter {
            options.insert(name, value);
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_the_last_value_wins() {
        let options: Options = [("Header", "true"), ("HEADER", "false")]
            .into_iter()
            .collect();
        assert_eq!(options.get("header"), Some("false"));
        assert_eq!(options.iter().collect::<Vec<_>>(), [("HEADER", "false")]);
    }

    #[test]
    fn a_flag_that_is_not_a_boolean_is_refused_by_name() {
        let options: Options = [("multiLine", "yes")].into_iter().collect();
        let error = options.flag("multiLine", false).unwrap_err().to_string();
        assert!(
            error.contains("multiLine") && error.contains("yes"),
            "{error}"
        );
    }
}
