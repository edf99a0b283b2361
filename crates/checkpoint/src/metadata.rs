//! `metadata`: which query the checkpoint belongs to.
//!
//! ```text
//! {"id":"65871521-7f26-4f97-b49f-d944a12f4fe1"}
//! ```
//!
//! One line, no version, no line end, written once when the query first starts. The id stays the
//! same over all restarts; sinks use it to tell a re-run from another query.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What identifies a query across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMetadata {
    /// The query's id.
    pub id: Uuid,
}

impl StreamMetadata {
    /// The bytes of the file.
    pub fn encode(&self) -> String {
        format!("{{\"id\":\"{}\"}}", self.id)
    }

    /// Reads the file; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("it does not hold a query id ({e})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sparks() {
        let text = r#"{"id":"65871521-7f26-4f97-b49f-d944a12f4fe1"}"#;
        let metadata = StreamMetadata::decode(text.as_bytes()).unwrap();
        assert_eq!(metadata.encode(), text);
    }

    #[test]
    fn garbage_is_refused() {
        for text in ["", "{nope", r#"{"id":"abc"}"#, "{}"] {
            assert!(StreamMetadata::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
