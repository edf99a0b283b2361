//! Session windows: how the rows of one key become sessions.
//!
//! Every row opens a session of its own, from its time to its time plus the gap. Sessions that overlap are one, and so are
//! sessions that touch: a row exactly at the end of a session still extends it. What comes out depends on the set
//! of rows alone, not on their order, and merging merged sessions again changes nothing; so sessions
//! in state can be merged with those of a batch.
//!
//! ```
//! use millstream_engine::time::{Session, merge_sessions};
//! let sessions = merge_sessions([(0, 5), (5, 7), (6, 20), (21, 22)]);
//! assert_eq!(sessions, [Session { start: 0, end: 20, parts: 3 }, Session { start: 21, end: 22, parts: 1 }]);
//! ```

/// A session, in whatever unit its parts were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// When it starts.
    pub start: i64,
    /// When it ends; a row at this very time still belongs to it.
    pub end: i64,
    /// How many of the parts, in their order, it is made of.
    pub parts: usize,
}

/// Merges sessions of one key, given as (start, end) and ordered by start.
pub fn merge_sessions(parts: impl IntoIterator<Item = (i64, i64)>) -> Vec<Session> {
    let mut sessions: Vec<Session> = vec![];
    for (start, end) in parts {
        match sessions.last_mut() {
            Some(last) if start <= last.end => {
                last.end = last.end.max(end);
                last.parts += 1;
            }
            _ => sessions.push(Session {
                start,
                end,
                parts: 1,
            }),
        }
    }
    sessions
}
