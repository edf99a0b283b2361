//! Tier 1: the record looks like the one before it.
//!
//! Machines write records with the same keys in the same order. After one record has been scanned, its
//! skeleton is known: the bytes between the values. A following record matches if it consists of exactly
//! these bytes and of values in between; every skeleton byte is compared, so nothing is assumed. That a
//! string value holds no quote follows from counting: the whole line has as many quotes as the skeleton.
//! Lengths of the previous values are tried first, which makes the common fixed-width ids free to find.
//!
//! Only lines without backslashes, control characters and non-ASCII bytes come here.
use super::scan::{Scan, Slot, Surprise, scalar};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Scalar,
}

#[derive(Debug, Clone)]
struct Member {
    /// The skeleton before the value: from the previous value's end to this one's start.
    skeleton: (usize, usize),
    shape: Shape,
    /// Column the value goes to.
    field: Option<usize>,
    /// Length of the value in the record before.
    length: usize,
}

/// The skeleton of the last scanned record.
#[derive(Debug, Default)]
pub(super) struct Layout {
    members: Vec<Member>,
    /// All skeleton bytes, member after member, then those up to the closing brace.
    bytes: Vec<u8>,
    tail: (usize, usize),
    quotes: usize,
}

impl Layout {
    /// Whether there is a skeleton to match.
    pub(super) fn known(&self) -> bool {
        !self.members.is_empty()
    }

    /// Matches a record that has so many quotes, and fills the slots of the wanted fields.
    pub(super) fn object(
        &mut self,
        line: &[u8],
        quotes: usize,
        slots: &mut [Slot],
    ) -> Result<(), Surprise> {
        if quotes != self.quotes {
            return Err(Surprise);
        }
        let Self {
            members,
            bytes,
            tail,
            ..
        } = self;
        let skeleton = |(start, end): (usize, usize)| bytes.get(start..end).unwrap_or_default();
        let mut at = match members.first() {
            Some(first) if begins_with(line, skeleton(first.skeleton)) => {
                first.skeleton.1 - first.skeleton.0
            }
            _ => return Err(Surprise),
        };
        for index in 0..members.len() {
            let next = skeleton(members.get(index + 1).map_or(*tail, |m| m.skeleton));
            let Some(member) = members.get_mut(index) else {
                return Err(Surprise);
            };
            let rest = line.get(at..).ok_or(Surprise)?;
            let (slot, length) = match member.shape {
                Shape::Text => {
                    let follows = |length: usize| {
                        rest.get(length..)
                            .is_some_and(|after| begins_with(after, next))
                    };
                    let length = match follows(member.length) {
                        true => member.length,
                        false => memchr::memchr(b'"', rest)
                            .filter(|l| follows(*l))
                            .ok_or(Surprise)?,
                    };
                    (Slot::Text(at, at + length), length)
                }
                Shape::Scalar => {
                    let (slot, end) = scalar(line, at)?;
                    if !line
                        .get(end..)
                        .is_some_and(|after| begins_with(after, next))
                    {
                        return Err(Surprise);
                    }
                    (slot, end - at)
                }
            };
            member.length = length;
            if let Some(wanted) = member.field.and_then(|field| slots.get_mut(field)) {
                *wanted = slot;
            }
            at += length + next.len();
        }
        Ok(())
    }
}

/// `starts_with` for the short pieces of a skeleton: two overlapping words instead of a call.
#[inline]
fn begins_with(text: &[u8], piece: &[u8]) -> bool {
    let Some(text) = text.get(..piece.len()) else {
        return false;
    };
    let words = |bytes: &[u8]| -> Option<(u64, u64)> {
        let first = bytes.first_chunk::<8>()?;
        let last = bytes.last_chunk::<8>()?;
        Some((u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)))
    };
    match piece.len() {
        8..=16 => words(text) == words(piece),
        _ => text == piece,
    }
}

/// Collects a record's skeleton while it is scanned.
#[derive(Debug, Default)]
pub(super) struct Learner {
    values: Vec<(Shape, usize, usize, Option<usize>)>,
    simple: bool,
    layout: Layout,
}

impl Learner {
    /// Starts with a new record.
    pub(super) fn start(&mut self) {
        self.values.clear();
        self.simple = true;
    }

    /// Notes a value that stands at `start..end`, quotes included.
    pub(super) fn value(&mut self, slot: Slot, start: usize, end: usize, field: Option<usize>) {
        match slot {
            Slot::Text(..) => self.values.push((Shape::Text, start + 1, end - 1, field)),
            Slot::Absent => self.simple = false,
            _ => self.values.push((Shape::Scalar, start, end, field)),
        }
    }

    /// Ends the record behind its closing brace and replaces the layout. What follows the brace is not part
    /// of it; a line with quotes there does not count the same and is scanned.
    pub(super) fn finish(&mut self, line: &[u8], end: usize) {
        let layout = &mut self.layout;
        layout.members.clear();
        layout.bytes.clear();
        if !self.simple {
            return;
        }
        let mut take = |from: usize, to: usize| {
            let start = layout.bytes.len();
            layout
                .bytes
                .extend_from_slice(line.get(from..to).unwrap_or_default());
            (start, layout.bytes.len())
        };
        let mut members = Vec::with_capacity(self.values.len());
        let mut from = 0;
        for (shape, start, end, field) in self.values.drain(..) {
            let skeleton = take(from, start);
            from = end;
            members.push(Member {
                skeleton,
                shape,
                field,
                length: end - start,
            });
        }
        let tail = take(from, end);
        layout.members = members;
        layout.tail = tail;
        layout.quotes = memchr::memchr_iter(b'"', &layout.bytes).count();
    }

    pub(super) fn layout(&mut self) -> &mut Layout {
        &mut self.layout
    }
}

/// Scans a record and learns its layout.
pub(super) fn learn(
    scan: Scan<'_>,
    target: &super::convert::Target,
    slots: &mut [Slot],
    learner: &mut Learner,
) -> Result<(), Surprise> {
    learner.start();
    scan.object(target, slots, Some(learner))
}
