//! The responses of one operation, between the task that makes them and the client that reads them.
//!
//! A response is numbered in the order it was pushed and carries an id that the client names when it comes back.
//! At any time at most one *attachment* reads; a new one supersedes the old. What an attachment was given stays in
//! the buffer until the client releases it, so that a client whose connection broke can continue after the last
//! response that it saw:
//!
//! ```text
//!      released        sent, kept for a retry          not yet sent
//!  ─────────────────┬────────────────────────────┬──────────────────────┬───▶ index
//!                 first                        cursor                  end
//! ```
//!
//! A client that never releases does not hold the whole result in memory: of what was sent, only the newest
//! `retry_bytes_max` bytes are kept. How much may wait to be sent is for the producer to limit (`unsent_bytes`).
//!
//! This is a plain state machine: no clock, no lock, no task.
use std::collections::VecDeque;

use prost::Message;
use spark_connect_proto::ExecutePlanResponse;
use tonic::Status;

/// One reader of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentId(u64);

/// What a reader gets.
#[derive(Debug)]
pub enum Next {
    /// The next response.
    Response(Box<ExecutePlanResponse>),
    /// Nothing now; ask again after the next push, end or attach.
    Pending,
    /// All responses were given.
    Complete,
    /// All responses were given, and then the operation failed.
    Failed(Box<Status>),
    /// Another reader took over.
    Superseded,
    /// What this reader would get next was released.
    Released {
        /// Index of the response that is gone.
        index: u64,
    },
}

/// Why a client cannot continue where it wants to.
#[derive(Debug, PartialEq, Eq)]
pub enum CursorError {
    /// No response of this operation has that id.
    NotFound,
    /// The response after it was released.
    Released {
        /// Index of the first response that is gone.
        index: u64,
    },
}

#[derive(Debug)]
struct Buffered {
    response: ExecutePlanResponse,
    bytes: usize,
}

#[derive(Debug)]
enum End {
    Complete,
    Failed(Box<Status>),
}

/// The buffer. See the module's documentation.
#[derive(Debug)]
pub struct ResponseBuffer {
    retry_bytes_max: usize,

    responses: VecDeque<Buffered>,
    /// Index of the front of `responses`.
    first: u64,
    /// Id of the response before the front: a client may still name it as the last one it saw.
    last_released: Option<String>,
    /// Index of the response that the reader gets next.
    cursor: u64,
    unsent_bytes: usize,
    sent_bytes: usize,
    end: Option<End>,
    attachment: u64,
}

impl ResponseBuffer {
    /// An empty buffer that keeps up to `retry_bytes_max` bytes of sent responses.
    pub fn new(retry_bytes_max: usize) -> Self {
        Self {
            retry_bytes_max,
            responses: VecDeque::new(),
            first: 0,
            last_released: None,
            cursor: 0,
            unsent_bytes: 0,
            sent_bytes: 0,
            end: None,
            attachment: 0,
        }
    }

    /// Appends a response. Once the operation has ended, it is dropped.
    pub fn push(&mut self, response: ExecutePlanResponse) {
        if self.end.is_some() {
            return;
        }
        let bytes = response.encoded_len();
        self.unsent_bytes += bytes;
        self.responses.push_back(Buffered { response, bytes });
    }

    /// No more responses will come.
    pub fn complete(&mut self) {
        self.end.get_or_insert(End::Complete);
    }

    /// No more responses will come, because the operation failed.
    pub fn fail(&mut self, status: Status) {
        self.end
            .get_or_insert_with(|| End::Failed(Box::new(status)));
    }

    /// Whether `complete` or `fail` was called.
    pub fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// Bytes that wait to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Makes a new reader, which continues after the response `after`, or starts at the first response. The reader
    /// before it is superseded.
    pub fn attach(&mut self, after: Option<&str>) -> Result<AttachmentId, CursorError> {
        let cursor = match after {
            None => 0,
            Some(id) => self.index_of(id).ok_or(CursorError::NotFound)? + 1,
        };
        if cursor < self.first {
            return Err(CursorError::Released { index: cursor });
        }
        self.move_cursor(cursor);
        self.attachment += 1;
        Ok(AttachmentId(self.attachment))
    }

    /// Whether `reader` is the one that reads now.
    pub fn is_current(&self, reader: AttachmentId) -> bool {
        reader.0 == self.attachment
    }

    /// The next response for `reader`.
    pub fn next(&mut self, reader: AttachmentId) -> Next {
        if !self.is_current(reader) {
            return Next::Superseded;
        }
        let Some(offset) = self.cursor.checked_sub(self.first) else {
            return Next::Released { index: self.cursor };
        };
        let Some(buffered) = self.responses.get(offset as usize) else {
            return match &self.end {
                None => Next::Pending,
                Some(End::Complete) => Next::Complete,
                Some(End::Failed(status)) => Next::Failed(status.clone()),
            };
        };
        let response = Box::new(buffered.response.clone());
        self.unsent_bytes = self.unsent_bytes.saturating_sub(buffered.bytes);
        self.sent_bytes += buffered.bytes;
        self.cursor += 1;
        self.forget_oldest_sent();
        Next::Response(response)
    }

    /// Forgets the responses up to and including `response_id`. An id that was released before, or never given, is
    /// ignored: releases travel on connections of their own and may arrive out of order.
    pub fn release_until(&mut self, response_id: &str) {
        if let Some(index) = self.index_of(response_id) {
            while self.first <= index && self.pop_front() {}
        }
    }

    fn index_of(&self, response_id: &str) -> Option<u64> {
        if self.last_released.as_deref() == Some(response_id) {
            return self.first.checked_sub(1);
        }
        let offset = self
            .responses
            .iter()
            .position(|buffered| buffered.response.response_id == response_id)?;
        Some(self.first + offset as u64)
    }

    fn move_cursor(&mut self, cursor: u64) {
        self.cursor = cursor;
        let sent = cursor.saturating_sub(self.first) as usize;
        self.sent_bytes = self
            .responses
            .iter()
            .take(sent)
            .map(|buffered| buffered.bytes)
            .sum();
        self.unsent_bytes = self
            .responses
            .iter()
            .skip(sent)
            .map(|buffered| buffered.bytes)
            .sum();
    }

    fn forget_oldest_sent(&mut self) {
        // The newest sent response always stays: it is the one that a broken connection loses.
        while self.sent_bytes > self.retry_bytes_max && self.first + 1 < self.cursor {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) -> bool {
        let Some(front) = self.responses.pop_front() else {
            return false;
        };
        if self.first < self.cursor {
            self.sent_bytes = self.sent_bytes.saturating_sub(front.bytes);
        } else {
            self.unsent_bytes = self.unsent_bytes.saturating_sub(front.bytes);
        }
        self.first += 1;
        self.last_released = Some(front.response.response_id);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(id: &str) -> ExecutePlanResponse {
        ExecutePlanResponse {
            response_id: id.to_string(),
            ..Default::default()
        }
    }

    fn buffer_of(ids: &[&str]) -> ResponseBuffer {
        let mut buffer = ResponseBuffer::new(1 << 20);
        for id in ids {
            buffer.push(response(id));
        }
        buffer
    }

    /// Reads until something else than a response comes; the ids, and what came.
    fn drain(buffer: &mut ResponseBuffer, reader: AttachmentId) -> (Vec<String>, Next) {
        let mut ids = vec![];
        loop {
            match buffer.next(reader) {
                Next::Response(response) => ids.push(response.response_id),
                other => return (ids, other),
            }
        }
    }

    #[test]
    fn a_reader_gets_all_responses_in_order_and_then_the_end() {
        let mut buffer = buffer_of(&["a", "b"]);
        let reader = buffer.attach(None).unwrap();
        assert!(matches!(drain(&mut buffer, reader), (ids, Next::Pending) if ids == ["a", "b"]));
        buffer.push(response("c"));
        buffer.complete();
        assert!(matches!(drain(&mut buffer, reader), (ids, Next::Complete) if ids == ["c"]));
        assert_eq!(buffer.unsent_bytes(), 0);
    }

    #[test]
    fn a_failure_comes_after_what_was_produced_and_again_for_every_reader() {
        let mut buffer = buffer_of(&["a"]);
        buffer.fail(Status::internal("broken"));
        buffer.push(response("too late"));
        for _ in 0..2 {
            let reader = buffer.attach(None).unwrap();
            let (ids, end) = drain(&mut buffer, reader);
            assert_eq!(ids, ["a"]);
            assert!(matches!(end, Next::Failed(status) if status.message() == "broken"));
        }
    }

    #[test]
    fn a_client_that_comes_back_continues_after_the_response_it_saw_last() {
        let mut buffer = buffer_of(&["a", "b", "c"]);
        let first = buffer.attach(None).unwrap();
        drain(&mut buffer, first);
        let second = buffer.attach(Some("a")).unwrap();
        assert!(matches!(buffer.next(first), Next::Superseded));
        assert!(matches!(drain(&mut buffer, second), (ids, Next::Pending) if ids == ["b", "c"]));
    }

    #[test]
    fn a_released_response_may_still_be_named_as_the_last_one_seen() {
        let mut buffer = buffer_of(&["a", "b", "c"]);
        let reader = buffer.attach(None).unwrap();
        drain(&mut buffer, reader);
        buffer.release_until("b");
        buffer.release_until("a");
        let reader = buffer.attach(Some("b")).unwrap();
        assert!(matches!(drain(&mut buffer, reader), (ids, Next::Pending) if ids == ["c"]));
        assert_eq!(buffer.attach(Some("a")), Err(CursorError::NotFound));
        assert_eq!(buffer.attach(None), Err(CursorError::Released { index: 0 }));
    }

    #[test]
    fn an_unknown_cursor_is_refused_and_leaves_the_reader_alone() {
        let mut buffer = buffer_of(&["a"]);
        let reader = buffer.attach(None).unwrap();
        assert_eq!(buffer.attach(Some("nope")), Err(CursorError::NotFound));
        assert!(matches!(buffer.next(reader), Next::Response(_)));
    }

    #[test]
    fn of_what_was_sent_only_the_retry_bytes_are_kept() {
        let mut buffer = buffer_of(&["aaaaaaaa", "bbbbbbbb", "cccccccc"]);
        buffer.retry_bytes_max = 15;
        let reader = buffer.attach(None).unwrap();
        drain(&mut buffer, reader);
        assert_eq!(buffer.responses.len(), 1);
        assert_eq!(buffer.attach(Some("aaaaaaaa")), Err(CursorError::NotFound));
        assert!(buffer.attach(Some("bbbbbbbb")).is_ok());
    }

    #[test]
    fn releasing_what_was_not_sent_is_told_to_the_reader() {
        let mut buffer = buffer_of(&["a", "b"]);
        let reader = buffer.attach(None).unwrap();
        buffer.release_until("a");
        assert!(matches!(buffer.next(reader), Next::Released { index: 0 }));
        assert!(buffer.unsent_bytes() > 0);
    }

    /// What happens to a client and its operation.
    #[derive(Debug, Clone)]
    enum Event {
        Produced(u8),
        /// The client reads this many responses.
        Read(u8),
        /// The client releases what it has read, but for this many.
        Released(u8),
        /// The connection breaks; up to this many of the responses read last never arrived.
        Cut(u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (1..6_u8).prop_map(Event::Produced),
            (0..8_u8).prop_map(Event::Read),
            (0..4_u8).prop_map(Event::Released),
            (0..3_u8).prop_map(Event::Cut),
        ]
    }

    proptest! {
        /// However often its connection breaks, a client that releases only what it has gets every response once.
        #[test]
        fn a_client_gets_every_response_once(events in prop::collection::vec(event(), 0..60)) {
            let mut buffer = ResponseBuffer::new(1 << 20);
            let mut reader = buffer.attach(None).unwrap();
            let (mut produced, mut released) = (0_usize, 0_usize);
            let mut got: Vec<String> = vec![];
            for event in events.into_iter().chain([Event::Cut(0), Event::Read(u8::MAX)]) {
                match event {
                    Event::Produced(count) => for _ in 0..count {
                        buffer.push(response(&produced.to_string()));
                        produced += 1;
                    },
                    Event::Read(count) => for _ in 0..count {
                        match buffer.next(reader) {
                            Next::Response(response) => got.push(response.response_id),
                            other => {
                                prop_assert!(matches!(other, Next::Pending));
                                break;
                            }
                        }
                    },
                    Event::Released(keep) => {
                        if let Some(last) = got.len().checked_sub(1 + usize::from(keep)) {
                            buffer.release_until(&got[last]);
                            released = released.max(last + 1);
                        }
                    }
                    Event::Cut(lost) => {
                        let kept = got.len().saturating_sub(usize::from(lost)).max(released);
                        got.truncate(kept);
                        reader = buffer.attach(got.last().map(String::as_str)).unwrap();
                    }
                }
            }
            while let Next::Response(response) = buffer.next(reader) {
                got.push(response.response_id);
            }
            let all: Vec<_> = (0..produced).map(|number| number.to_string()).collect();
            prop_assert_eq!(got, all);
            prop_assert_eq!(buffer.unsent_bytes(), 0);
        }
    }
}
