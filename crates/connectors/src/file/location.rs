//! Paths as users, logs and file systems write them.
//!
//! | form | example | where |
//! |---|---|---|
//! | path | `/data/in/a b.json` | inside this crate; file system calls |
//! | Hadoop's text | `file:/data/in/a b.json` | descriptions, error messages |
//! | URL | `file:///data/in/a%20b.json` | logs, `input_file_name()` |
//!
//! In a URL only the characters that a URI forbids are escaped; letters of other scripts stay as
//! they are. That is what Java does, and a log that Spark reads must agree with it byte for byte.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::ObjectStore;
use url::Url;

use crate::{error::ConnectorError, format::FileLocation};

/// A file system, and how its URLs begin.
#[derive(Debug, Clone)]
pub enum FileSystem {
    /// The machine's own.
    Local,
    /// A bucket, or whatever the store calls it.
    Object {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// Scheme and bucket, such as `s3://bucket`.
        root: String,
    },
}

/// A path or pattern on a file system. Absolute, without a trailing slash.
#[derive(Debug, Clone)]
pub struct Location {
    /// The file system.
    pub fs: FileSystem,
    /// The path, decoded: `/data/in`.
    pub path: String,
}

impl Location {
    /// Reads what a user wrote: a path, relative to the working directory if it does not begin with
    /// a slash, or a URL. Percent signs are themselves, as in Hadoop.
    ///
    /// # Errors
    /// [`ConnectorError::BadPath`] when there is no such file system.
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let bad = |reason: String| ConnectorError::BadPath {
            path: text.to_owned(),
            reason,
        };
        if text.is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Ok(Self {
                fs: FileSystem::Local,
                path: absolute(text)?,
            });
        };
        if scheme.eq_ignore_ascii_case("file") {
            // `file:/a`, `file:///a` and `file://localhost/a` are the same.
            let path = match rest.strip_prefix("//") {
                Some(authority) => authority
                    .split_once('/')
                    .map(|(_, path)| format!("/{path}")),
                None => Some(rest.to_owned()),
            };
            let path = path.ok_or_else(|| bad("a file URL needs a path".to_owned()))?;
            return Ok(Self {
                fs: FileSystem::Local,
                path: absolute(&path)?,
            });
        }
        let rest = rest.trim_start_matches('/');
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let root = format!("{scheme}://{bucket}");
        let url = Url::parse(&root).map_err(|e| bad(e.to_string()))?;
        let (store, _) = object_store::parse_url(&url).map_err(|e| bad(e.to_string()))?;
        let fs = FileSystem::Object {
            store: Arc::from(store),
            root,
        };
        Ok(Self {
            fs,
            path: normalized(&format!("/{path}")),
        })
    }

    /// The same file system, another path.
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self {
            fs: self.fs.clone(),
            path: path.into(),
        }
    }

    /// A path below this one.
    pub fn child(&self, name: &str) -> Self {
        self.at(join(&self.path, name))
    }

    /// As Hadoop prints a qualified path: `file:/data/in`.
    pub fn hadoop_text(&self) -> String {
        self.fs.hadoop_text(&self.path)
    }

    /// As a URL, percent-encoded.
    pub fn url(&self) -> String {
        self.fs.url(&self.path)
    }
}

impl FileSystem {
    /// As Hadoop prints a qualified path: `file:/data/in`.
    pub fn hadoop_text(&self, path: &str) -> String {
        match self {
            Self::Local => format!("file:{path}"),
            Self::Object { root, .. } => format!("{root}{path}"),
        }
    }

    /// The path as a URL, percent-encoded.
    pub fn url(&self, path: &str) -> String {
        match self {
            Self::Local => format!("file://{}", encode_path(path)),
            Self::Object { root, .. } => format!("{root}{}", encode_path(path)),
        }
    }

    /// The path of a URL that [`FileSystem::url`], or Spark, wrote.
    pub fn path_of(&self, url: &str) -> String {
        let encoded = match self {
            Self::Local => url
                .strip_prefix("file:")
                .map(|path| path.trim_start_matches("//")),
            Self::Object { root, .. } => url.strip_prefix(root.as_str()),
        };
        // `file:///a` lost both slashes of its empty authority; `file:/a` had none.
        let path = decode(encoded.unwrap_or(url));
        if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        }
    }

    /// Where readers find the file.
    pub fn file(&self, path: &str) -> FileLocation {
        match self {
            Self::Local => FileLocation::Local(PathBuf::from(path)),
            Self::Object { store, .. } => FileLocation::Object {
                store: Arc::clone(store),
                path: object_path(path),
            },
        }
    }
}

/// The store's form of a path.
pub(super) fn object_path(path: &str) -> object_store::path::Path {
    object_store::path::Path::from(path.trim_start_matches('/'))
}

/// A directory and a name.
pub(super) fn join(dir: &str, name: &str) -> String {
    if dir.ends_with('/') {
        format!("{dir}{name}")
    } else {
        format!("{dir}/{name}")
    }
}

/// The last component of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The path without its last component; the root is its own parent.
pub(super) fn parent_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// One letter before the colon is a Windows drive; a colon after a slash is part of a name.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let well_formed = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && rest.starts_with('/');
    well_formed.then_some((scheme, rest))
}

fn absolute(path: &str) -> Result<String, ConnectorError> {
    let absolute =
        std::path::absolute(Path::new(path)).map_err(ConnectorError::io("make absolute", path))?;
    let text = absolute.to_str().ok_or_else(|| ConnectorError::BadPath {
        path: path.to_owned(),
        reason: "it is not UTF-8 text".to_owned(),
    })?;
    Ok(normalized(text))
}

/// Without empty, `.` and trailing components. `..` takes the component before it away, as Hadoop
/// has it.
fn normalized(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn encode_path(path: &str) -> String {
    const ALLOWED: &str = "/-_.!~*'(),;:$&+=@";
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        let other_script = !c.is_ascii() && !c.is_control() && !c.is_whitespace();
        if c.is_ascii_alphanumeric() || other_script || ALLOWED.contains(c) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Takes `%XX` back; what is not an escape is left as it is.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_local_path_is_one_path() {
        for text in [
            "/data/in",
            "/data/in/",
            "file:/data/in",
            "file:///data/in",
            "/data//x/../in/.",
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.path, "/data/in", "{text}");
            assert_eq!(location.hadoop_text(), "file:/data/in");
            assert_eq!(location.url(), "file:///data/in");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            Location::parse("in").unwrap().path,
            here.join("in").to_str().unwrap()
        );
        assert_eq!(
            Location::parse("a:b").unwrap().path,
            here.join("a:b").to_str().unwrap()
        );
    }

    #[test]
    fn urls_escape_what_java_escapes_and_come_back() {
        let fs = FileSystem::Local;
        for (path, url) in [
            ("/in/c d%é.json", "file:///in/c%20d%25é.json"),
            ("/out p/k=b c/x", "file:///out%20p/k=b%20c/x"),
            ("/k=%3Aa/x[1]#?.csv", "file:///k=%253Aa/x%5B1%5D%23%3F.csv"),
            ("/a+b&c,d;e@f$~!'()*", "file:///a+b&c,d;e@f$~!'()*"),
        ] {
            assert_eq!(fs.url(path), url);
            assert_eq!(fs.path_of(url), path);
        }
        assert_eq!(fs.path_of("file:/data/a%20b"), "/data/a b");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%+1"), "%zz%+1");
    }

    #[test]
    fn a_scheme_that_is_not_built_in_is_refused_by_name() {
        let error = Location::parse("nosuch://bucket/in")
            .unwrap_err()
            .to_string();
        assert!(error.contains("nosuch://bucket/in"), "{error}");
        assert!(Location::parse("").is_err());
    }
}
