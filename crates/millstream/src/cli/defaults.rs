//! Configuration files and `--conf`, as spark-submit reads them.
//!
//! A file has one key a line: `key value`, `key=value` or `key: value`, the first of the separators counts; lines that
//! start with `#` or `!` are comments, a backslash at the end continues a line. The defaults are
//! `$SPARK_CONF_DIR/spark-defaults.conf`, else `$SPARK_HOME/conf/…`, else `./conf/…`; a properties file takes their
//! place, and `--conf` wins over both.
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{CliError, args::EngineArguments};

/// The configuration that the engine starts with.
pub fn load(
    arguments: &EngineArguments,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, CliError> {
    let mut conf = BTreeMap::new();
    if arguments.properties_file.is_none() || arguments.load_spark_defaults {
        let path = defaults_file(environment);
        match fs::read_to_string(&path) {
            Ok(text) => conf.extend(parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    if let Some(path) = &arguments.properties_file {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        conf.extend(parse(&text));
    }
    for pair in &arguments.conf {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| {
                CliError::Usage(format!("--conf {pair:?} is not of the form key=value"))
            })?;
        conf.insert(key.trim().to_string(), value.to_string());
    }
    if let Some(master) = &arguments.master {
        conf.insert("spark.master".to_string(), master.clone());
    }
    conf.entry("spark.master".to_string())
        .or_insert_with(|| "local[*]".to_string());
    Ok(conf)
}

fn defaults_file(environment: impl Fn(&str) -> Option<String>) -> PathBuf {
    let folder = environment("SPARK_CONF_DIR")
        .map(PathBuf::from)
        .or_else(|| environment("SPARK_HOME").map(|home| Path::new(&home).join("conf")))
        .unwrap_or_else(|| PathBuf::from("conf"));
    folder.join("spark-defaults.conf")
}

fn unreadable(path: &Path, source: io::Error) -> CliError {
    CliError::File {
        action: "read",
        path: path.display().to_string(),
        source,
    }
}

/// The keys of a file in Java's properties format, without its escapes for characters outside of Latin-1.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut pairs = vec![];
    let mut lines = text.lines();
    while let Some(first) = lines.next() {
        let mut line = first.trim_start().to_string();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let end_of_key = line
            .find(|c: char| c.is_whitespace() || c == '=' || c == ':')
            .unwrap_or(line.len());
        let (key, rest) = line.split_at(end_of_key);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
        if !key.is_empty() {
            pairs.push((key.to_string(), value.trim().to_string()));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(conf: &[&str]) -> EngineArguments {
        EngineArguments {
            master: None,
            conf: conf.iter().map(|pair| pair.to_string()).collect(),
            properties_file: None,
            load_spark_defaults: false,
        }
    }

    #[test]
    fn keys_and_values_are_separated_as_java_does() {
        let text = "# comment\n! comment\n\nspark.a   1 2\nspark.b=x=y\n  spark.c : z  \nspark.d\nspark.e 1,\\\n   2\n";
        let expected = [
            ("spark.a", "1 2"),
            ("spark.b", "x=y"),
            ("spark.c", "z"),
            ("spark.d", ""),
            ("spark.e", "1,2"),
        ];
        let parsed = parse(text);
        let parsed: Vec<_> = parsed
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(parsed, expected);
    }

    #[test]
    fn arguments_win_over_the_defaults_file_which_the_environment_may_move() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("spark-defaults.conf"),
            "spark.a 1\nspark.b 1\nspark.master local[3]\n",
        )
        .unwrap();
        let path = folder.path().display().to_string();
        let environment = |name: &str| (name == "SPARK_CONF_DIR").then(|| path.clone());
        let conf = load(&arguments(&["spark.b=2=3"]), environment).unwrap();
        assert_eq!(
            (conf["spark.a"].as_str(), conf["spark.b"].as_str()),
            ("1", "2=3")
        );
        assert_eq!(conf["spark.master"], "local[3]");
        let master = EngineArguments {
            master: Some("local[1]".to_string()),
            ..arguments(&[])
        };
        assert_eq!(
            load(&master, environment).unwrap()["spark.master"],
            "local[1]"
        );
    }

    #[test]
    fn a_properties_file_replaces_the_defaults_and_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.properties");
        fs::write(&file, "spark.x 1\n").unwrap();
        fs::write(folder.path().join("spark-defaults.conf"), "spark.a 1\n").unwrap();
        let path = folder.path().display().to_string();
        let environment = |name: &str| (name == "SPARK_CONF_DIR").then(|| path.clone());
        let only = EngineArguments {
            properties_file: Some(file.clone()),
            ..arguments(&[])
        };
        assert!(!load(&only, environment).unwrap().contains_key("spark.a"));
        let both = EngineArguments {
            load_spark_defaults: true,
            ..only
        };
        assert!(load(&both, environment).unwrap().contains_key("spark.a"));
        let missing = EngineArguments {
            properties_file: Some(folder.path().join("no")),
            ..arguments(&[])
        };
        assert!(
            load(&missing, environment)
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
    }

    #[test]
    fn a_conf_without_a_value_is_refused() {
        for pair in ["spark.a", "=1"] {
            assert!(load(&arguments(&[pair]), |_| None).is_err());
        }
    }
}
