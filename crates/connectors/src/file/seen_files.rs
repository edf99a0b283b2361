//! Which files the source has taken up, as far back as it needs to know.
//!
//! A file is new if it is not in the map and not older than the map reaches. How far that is
//! follows from the newest file seen, never from the clock: the map is purged of what is more than
//! `maxFileAge` older. Until the first purge every file counts, so a first batch takes all there
//! is.
use std::collections::HashMap;

use super::location::name_of;

/// The files taken up, with their modification times.
#[derive(Debug)]
pub struct SeenFiles {
    max_age_ms: i64,
    file_name_only: bool,
    files: HashMap<String, i64>,
    latest_ms: i64,
    purged_before_ms: i64,
}

impl SeenFiles {
    /// An empty map. With `file_name_only`, files of the same name in different directories are one
    /// file.
    pub fn new(max_age_ms: i64, file_name_only: bool) -> Self {
        Self {
            max_age_ms,
            file_name_only,
            files: HashMap::new(),
            latest_ms: 0,
            purged_before_ms: 0,
        }
    }

    fn key<'a>(&self, path: &'a str) -> &'a str {
        if self.file_name_only {
            name_of(path)
        } else {
            path
        }
    }

    /// Remembers a file.
    pub fn add(&mut self, path: &str, modified_ms: i64) {
        self.files.insert(self.key(path).to_owned(), modified_ms);
        self.latest_ms = self.latest_ms.max(modified_ms);
    }

    /// Whether the file is to be taken up.
    pub fn is_new(&self, path: &str, modified_ms: i64) -> bool {
        modified_ms >= self.purged_before_ms && !self.files.contains_key(self.key(path))
    }

    /// Forgets what is too old.
    pub fn purge(&mut self) {
        let before_ms = self.latest_ms.saturating_sub(self.max_age_ms);
        // Walking the whole map is only worth it when something may have to go.
        if before_ms > self.purged_before_ms {
            self.files
                .retain(|_, modified_ms| *modified_ms >= before_ms);
        }
        self.purged_before_ms = before_ms;
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.files.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_from_the_newest_file_and_only_after_a_purge() {
        let mut seen = SeenFiles::new(10, false);
        seen.add("/a", 5);
        assert!(!seen.is_new("/a", 5));
        seen.add("/b", 15);
        seen.purge();
        assert_eq!(seen.len(), 2, "5 is not before 15 - 10");
        seen.add("/c", 16);
        assert!(seen.is_new("/old", 5), "not purged yet");
        seen.purge();
        assert_eq!(seen.len(), 2);
        assert!(
            !seen.is_new("/a", 5),
            "too old to be remembered, and too old to be new"
        );
        assert!(
            seen.is_new("/a", 20),
            "rewritten long after it was forgotten"
        );
        assert!(!seen.is_new("/b", 20), "rewritten while it is remembered");
        assert!(seen.is_new("/d", 6));
    }

    #[test]
    fn names_alone_can_tell_files_apart() {
        let mut seen = SeenFiles::new(i64::MAX, true);
        seen.add("/x/a.json", 5);
        seen.purge();
        assert!(!seen.is_new("/y/a.json", 9));
        assert!(seen.is_new("/y/b.json", 0));
    }
}
