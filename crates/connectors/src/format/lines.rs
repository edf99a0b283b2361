//! A file cut into lines without copying them.
//!
//! The buffer holds a region of complete lines; the parser works through the region in place and only the
//! unfinished last line is moved to the front before more is read. Lines end with `\n`, `\r\n` or `\r`, as
//! Hadoop's reader has it, or with the separator that the `lineSep` option gives.
use memchr::memmem;

use super::{FormatError, input::Chunks};

/// What ends a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Separator {
    /// `\n`, `\r\n` or `\r`.
    Newline,
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Separator {
    pub(crate) fn new(option: Option<&[u8]>) -> Self {
        match option {
            Some(bytes) => Self::Bytes(bytes.to_vec()),
            None => Self::Newline,
        }
    }

    /// Length of the first line of `text` and of what ends it. The last line may have no end.
    pub(crate) fn split(&self, text: &[u8]) -> (usize, usize) {
        match self {
            Self::Newline => match memchr::memchr2(b'\n', b'\r', text) {
                None => (text.len(), 0),
                Some(at) if text.get(at..at + 2) == Some(b"\r\n") => (at, 2),
                Some(at) => (at, 1),
            },
            Self::Bytes(bytes) => match memmem::find(text, bytes) {
                Some(at) => (at, bytes.len()),
                None => (text.len(), 0),
            },
        }
    }

    /// Where the last complete line of `text` ends, 0 if there is none. A `\r` at the very end may be half
    /// of an `\r\n`.
    fn complete(&self, text: &[u8]) -> usize {
        match self {
            Self::Newline => {
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                memchr::memrchr2(b'\n', b'\r', text).map_or(0, |at| at + 1)
            }
            Self::Bytes(bytes) => memmem::rfind(text, bytes).map_or(0, |at| at + bytes.len()),
        }
    }
}

/// The lines of a file.
pub(crate) struct Lines {
    chunks: Chunks,
    separator: Separator,
    buffer: Vec<u8>,
    /// Start of what has not been consumed.
    start: usize,
    /// End of the complete lines.
    end: usize,
    ended: bool,
    /// Whether the start of the file, where a byte order mark may be, is still to come.
    at_start: bool,
}

impl Lines {
    pub(crate) fn new(chunks: Chunks, separator: Separator) -> Self {
        Self {
            chunks,
            separator,
            buffer: vec![],
            start: 0,
            end: 0,
            ended: false,
            at_start: true,
        }
    }

    /// Name of the file in messages.
    pub(crate) fn url(&self) -> &str {
        self.chunks.url()
    }

    /// What ends a line.
    pub(crate) fn separator(&self) -> &Separator {
        &self.separator
    }

    /// Complete lines not consumed yet.
    pub(crate) fn region(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Marks the front of the region as done.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
    }

    /// Makes sure that the region has a line; `false` when the file has no more.
    pub(crate) async fn fill(&mut self) -> Result<bool, FormatError> {
        while self.start == self.end {
            if self.ended {
                return Ok(false);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.ended = !self.chunks.next(&mut self.buffer).await?;
            if self.at_start && (self.buffer.len() >= 3 || self.ended) {
                self.at_start = false;
                self.start = if self.buffer.starts_with(b"\xef\xbb\xbf") {
                    3
                } else {
                    0
                };
            }
            self.end = match self.ended {
                true => self.buffer.len(),
                false => self.separator.complete(&self.buffer).max(self.start),
            };
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(separator: &Separator, mut text: &[u8]) -> Vec<String> {
        let mut lines = vec![];
        while !text.is_empty() {
            let (length, end) = separator.split(text);
            lines.push(String::from_utf8_lossy(&text[..length]).into_owned());
            text = &text[length + end..];
        }
        lines
    }

    #[test]
    fn all_three_line_ends_count() {
        assert_eq!(
            lines(&Separator::Newline, b"a\r\nb\rc\n\nd"),
            ["a", "b", "c", "", "d"]
        );
        assert_eq!(
            lines(&Separator::Bytes(b"||".to_vec()), b"a||b|c||"),
            ["a", "b|c"]
        );
    }

    #[test]
    fn a_carriage_return_at_the_end_waits_for_its_newline() {
        assert_eq!(Separator::Newline.complete(b"a\nb\r"), 2);
        assert_eq!(Separator::Newline.complete(b"ab\r"), 0);
        assert_eq!(Separator::Newline.complete(b"a\rb"), 2);
    }
}
