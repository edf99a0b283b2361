//! The table of functions by name.
use std::{collections::HashMap, sync::LazyLock};

use super::{Call, Function, Resolution};
use crate::error::{Result, SparkError, quoted_id};

/// Functions by lower-case name.
#[derive(Debug, Default)]
pub struct Registry {
    functions: HashMap<&'static str, Function>,
}

static BUILTIN: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::default();
    super::register_families(&mut registry);
    registry
});

impl Registry {
    /// Spark's built-in functions.
    pub fn builtin() -> &'static Registry {
        &BUILTIN
    }

    /// Adds a function under all its names. A name that is taken goes to the newcomer.
    pub fn add(&mut self, function: Function) {
        for alias in &function.aliases {
            self.functions.insert(alias, function.clone());
        }
        self.functions.insert(function.name, function);
    }

    /// The function of that name, in any case.
    pub fn find(&self, name: &str) -> Option<&Function> {
        match self.functions.get(name) {
            Some(found) => Some(found),
            None => self.functions.get(name.to_ascii_lowercase().as_str()),
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.functions.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Resolves a call.
    pub fn call(&self, call: Call<'_>) -> Result<Resolution> {
        let Some(function) = self.find(call.called) else {
            return Err(unresolved_routine(call.called, &call.context.database));
        };
        function.call(call)
    }
}

/// Where names of functions and tables are looked for, for messages.
pub(crate) fn search_path(database: &str) -> String {
    format!(
        "[`system`.`builtin`, `system`.`session`, `spark_catalog`.{}]",
        quoted_id(database)
    )
}

/// `UNRESOLVED_ROUTINE`.
pub fn unresolved_routine(name: &str, database: &str) -> SparkError {
    let parts: Vec<&str> = name.split('.').collect();
    let routine = crate::error::quoted_name(&parts);
    SparkError::analysis(
        "UNRESOLVED_ROUTINE",
        &[
            ("routineName", &routine),
            ("searchPath", &search_path(database)),
        ],
    )
}
