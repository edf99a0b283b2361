//! What the program's Python finds when it starts: see `sitecustomize.py` beside this file.
use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::CliError;

const SITECUSTOMIZE: &str = include_str!("sitecustomize.py");

/// A folder with the shim, the program's extra files, and the line to the program.
#[derive(Debug)]
pub struct Shim {
    folder: TempDir,
    /// Entries for PYTHONPATH.
    python_path: Vec<PathBuf>,
}

impl Shim {
    /// Writes the shim. Of `py_files`, archives are imported from as they are, and modules are copied.
    pub fn new(py_files: &[PathBuf]) -> Result<Self, CliError> {
        let folder = tempfile::Builder::new()
            .prefix("millstream-")
            .tempdir()
            .map_err(|source| CliError::System {
                action: "create a temporary folder",
                source,
            })?;
        let mut python_path = vec![folder.path().join("shim"), folder.path().join("files")];
        for path in &python_path {
            fs::create_dir(path).map_err(|source| file_error("create", path, source))?;
        }
        let shim = folder.path().join("shim").join("sitecustomize.py");
        fs::write(&shim, SITECUSTOMIZE).map_err(|source| file_error("write", &shim, source))?;
        for file in py_files {
            python_path.extend(importable(file, &folder.path().join("files"))?);
        }
        Ok(Self {
            folder,
            python_path,
        })
    }

    /// PYTHONPATH for the program, in front of what it was.
    pub fn python_path(&self, before: Option<&str>) -> String {
        let ours = self
            .python_path
            .iter()
            .map(|path| path.display().to_string());
        let before = before.filter(|path| !path.is_empty()).map(str::to_string);
        ours.chain(before).collect::<Vec<_>>().join(":")
    }

    /// The socket on which the program listens to its launcher.
    pub fn line(&self) -> PathBuf {
        self.folder.path().join("line")
    }

    /// A folder that serves as SPARK_HOME: pyspark's workers only want one to be named.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }
}

/// Makes a file of `--py-files` importable; the entry for PYTHONPATH that it needs, if any.
fn importable(file: &Path, folder: &Path) -> Result<Option<PathBuf>, CliError> {
    let absolute = fs::canonicalize(file).map_err(|source| file_error("read", file, source))?;
    let extension = absolute
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    match (extension, absolute.file_name()) {
        ("zip" | "egg" | "whl", _) => Ok(Some(absolute)),
        ("py", Some(name)) => {
            fs::copy(&absolute, folder.join(name))
                .map_err(|source| file_error("copy", &absolute, source))?;
            Ok(None)
        }
        _ if absolute.is_dir() => Ok(Some(absolute)),
        _ => Err(CliError::Usage(format!(
            "--py-files: {} is no .py, .zip, .egg or folder",
            file.display()
        ))),
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> CliError {
    CliError::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_copied_and_archives_are_named() {
        let here = tempfile::tempdir().unwrap();
        let (module, archive) = (here.path().join("helper.py"), here.path().join("lib.zip"));
        fs::write(&module, "x = 1").unwrap();
        fs::write(&archive, "PK").unwrap();
        let shim = Shim::new(&[module, archive.clone()]).unwrap();
        let path = shim.python_path(Some("/before"));
        let entries: Vec<_> = path.split(':').collect();
        assert_eq!(entries.len(), 4);
        assert!(Path::new(entries[0]).join("sitecustomize.py").exists());
        assert!(Path::new(entries[1]).join("helper.py").exists());
        assert_eq!(Path::new(entries[2]), fs::canonicalize(archive).unwrap());
        assert_eq!(entries[3], "/before");
    }

    #[test]
    fn a_file_python_cannot_import_is_refused() {
        let here = tempfile::tempdir().unwrap();
        let text = here.path().join("notes.txt");
        fs::write(&text, "").unwrap();
        assert!(Shim::new(&[text]).is_err());
        assert!(Shim::new(&[here.path().join("missing.py")]).is_err());
    }
}
