//! Who is at work on a folder.
//!
//! A running query holds its checkpoint, shared with whoever else reads or runs it; a tool that takes records away holds it
//! alone, and is refused while a query runs. On local disks that is an advisory lock on `.running`, which the system
//! lets go of when the process ends, however it ends. Object stores have no such thing: there nobody is stopped.
use std::{fs::File, path::Path};

use super::StorageError;

/// Name of the file that is locked; readers of the folder do not see names that begin with a dot.
const FILE: &str = ".running";

/// A folder that is held until this is dropped.
#[derive(Debug, Default)]
pub struct Hold(Option<File>);

impl Hold {
    /// Whether anything is held: where the storage cannot, nothing is.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Holds a local folder.
    pub(super) fn local(folder: &Path, alone: bool) -> Result<Self, StorageError> {
        let path = folder.join(FILE);
        let failed = |operation, message: String| StorageError::Failed {
            operation,
            path: path.display().to_string(),
            message,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed("create", error.to_string()))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| failed("open", error.to_string()))?;
        let locked = match alone {
            true => file.try_lock(),
            false => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(Self(Some(file))),
            Err(std::fs::TryLockError::WouldBlock) => Err(failed(
                "hold",
                match alone {
                    true => "a query is running on this checkpoint; stop it first",
                    false => "the checkpoint is being changed by another process",
                }
                .to_string(),
            )),
            // A file system without locks: as an object store.
            Err(std::fs::TryLockError::Error(error))
                if error.kind() == std::io::ErrorKind::Unsupported =>
            {
                Ok(Self(None))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(failed("hold", error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_share_a_folder_and_a_tool_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let one = Hold::local(folder.path(), false).unwrap();
        let two = Hold::local(folder.path(), false).unwrap();
        let refused = Hold::local(folder.path(), true).unwrap_err().to_string();
        assert!(refused.contains("a query is running"), "{refused}");
        drop((one, two));
        let alone = Hold::local(folder.path(), true).unwrap();
        assert!(alone.is_held());
        assert!(Hold::local(folder.path(), false).is_err());
    }
}
