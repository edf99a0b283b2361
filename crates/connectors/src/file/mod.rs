//! The file source and sink.
