//! Tier 2: flat records in plain JSON, keys in any order.
//!
//! One pass over the record finds where the wanted fields' values are and checks everything else: quotes,
//! escapes, numbers, nesting. It answers only when it is sure; whatever it does not expect is a
//! [`Surprise`] and the record goes to the general parser, so it never has to be right about errors.
use super::{
    convert::{Kind, Target, from_float, from_integer, parse_i64},
    layout::Learner,
    options::JsonOptions,
};
use crate::format::{column::Column, parsed::Parsed};

/// The record is not what a fast tier handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surprise;

/// Where a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Absent,
    Null,
    Boolean(bool),
    /// Content of a string without escapes.
    Text(usize, usize),
    Integer(usize, usize),
    Float(usize, usize),
}

/// What is known about the bytes of a record before it is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clean {
    pub ascii: bool,
    pub backslash_free: bool,
    pub control_free: bool,
    /// How many `"` there are.
    pub quotes: usize,
}

/// Bytes looked at together; a multiple of every vector register's width.
const LANES: usize = 32;

impl Clean {
    /// Looks at every byte once, in a shape that compilers turn into vector instructions.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut clean = Self {
            ascii: true,
            backslash_free: true,
            control_free: true,
            quotes: 0,
        };
        // A lane counts to 255 at most, so pieces are at most as many blocks long.
        for piece in bytes.chunks(LANES * 255) {
            clean.look(piece);
        }
        clean
    }

    fn look(&mut self, piece: &[u8]) {
        let mut lanes = Lanes::default();
        let mut blocks = piece.chunks_exact(LANES);
        for block in blocks.by_ref() {
            if let Some(block) = block.first_chunk::<LANES>() {
                lanes.add(block);
            }
        }
        let rest = blocks.remainder();
        // Padding with blanks adds nothing to any of the findings.
        let mut last = [b' '; LANES];
        last.iter_mut()
            .zip(rest)
            .for_each(|(lane, byte)| *lane = *byte);
        lanes.add(&last);
        let any = |lanes: &[u8; LANES]| lanes.iter().fold(0, |all, lane| all | lane);
        self.ascii &= any(&lanes.high) < 0x80;
        self.backslash_free &= any(&lanes.backslash) == 0;
        self.control_free &= any(&lanes.control) == 0;
        self.quotes += lanes
            .quotes
            .iter()
            .map(|count| usize::from(*count))
            .sum::<usize>();
    }

    /// Whether a quote always ends a string and every byte may stand in one.
    pub(super) fn plain(self) -> bool {
        self.ascii && self.backslash_free && self.control_free
    }
}

/// Findings of each lane.
#[derive(Default)]
struct Lanes {
    high: [u8; LANES],
    backslash: [u8; LANES],
    control: [u8; LANES],
    quotes: [u8; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, block: &[u8; LANES]) {
        for (lane, byte) in block.iter().enumerate() {
            self.high[lane] |= *byte;
            self.backslash[lane] |= u8::from(*byte == b'\\');
            self.control[lane] |= u8::from(*byte < b' ');
            self.quotes[lane] += u8::from(*byte == b'"');
        }
    }
}

pub(super) struct Scan<'a> {
    pub line: &'a [u8],
    pub clean: Clean,
    at: usize,
}

type Scanned<T> = Result<T, Surprise>;

impl<'a> Scan<'a> {
    pub(super) fn new(line: &'a [u8], clean: Clean) -> Self {
        Self { line, clean, at: 0 }
    }

    /// Fills the slots of the target's fields; a layout is learned on the way if wanted.
    pub(super) fn object(
        mut self,
        target: &Target,
        slots: &mut [Slot],
        mut learner: Option<&mut Learner>,
    ) -> Scanned<()> {
        self.blanks();
        self.expect(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let (start, end, escaped) = self.string()?;
            if escaped {
                return Err(Surprise);
            }
            let field = target.find(self.line.get(start..end).ok_or(Surprise)?);
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            let value_at = self.at;
            let slot = self.value(field.is_some())?;
            if let Some(slot_of_field) = field.and_then(|index| slots.get_mut(index)) {
                if *slot_of_field != Slot::Absent {
                    return Err(Surprise);
                }
                *slot_of_field = slot;
            }
            if let Some(learner) = &mut learner {
                learner.value(slot, value_at, self.at, field);
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    if let Some(learner) = learner {
                        learner.finish(self.line, self.at + 1);
                    }
                    return Ok(());
                }
                _ => return Err(Surprise),
            }
            self.blanks();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.peek() != Some(byte) {
            return Err(Surprise);
        }
        self.at += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, wanted: bool) -> Scanned<Slot> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let (start, end, escaped) = self.string()?;
                if escaped && wanted {
                    Err(Surprise)
                } else {
                    Ok(Slot::Text(start, end))
                }
            }
            Some(b'{' | b'[') if !wanted => self.skip_nested(),
            _ => {
                let (slot, end) = scalar(self.line, self.at)?;
                self.at = end;
                Ok(slot)
            }
        }
    }

    /// Start and end of a string's content after its opening quote, and whether it has escapes.
    fn string(&mut self) -> Scanned<(usize, usize, bool)> {
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.line.get(self.at..).ok_or(Surprise)?;
            let found = match self.clean.backslash_free {
                true => memchr::memchr(b'"', rest),
                false => memchr::memchr2(b'"', b'\\', rest),
            };
            let at = self.at + found.ok_or(Surprise)?;
            self.at = at + 1;
            if self.line.get(at) == Some(&b'"') {
                let content = self.line.get(start..at).ok_or(Surprise)?;
                if !self.clean.control_free && content.iter().any(|b| *b < b' ') {
                    return Err(Surprise);
                }
                return Ok((start, at, escaped));
            }
            escaped = true;
            match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                Some(b'u') => {
                    let digits = self.line.get(self.at + 1..self.at + 5).ok_or(Surprise)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(Surprise);
                    }
                    self.at += 5;
                }
                _ => return Err(Surprise),
            }
        }
    }

    /// Skips an object or array that nobody wants. Depth is bounded far below the parser's own limit.
    fn skip_nested(&mut self) -> Scanned<Slot> {
        const DEPTH_MAX: u32 = 64;
        // One bit a level, the innermost lowest: 1 for objects.
        let (mut kinds, mut depth) = (0_u64, 0_u32);
        let mut first = true;
        loop {
            self.blanks();
            let byte = self.peek().ok_or(Surprise)?;
            let object = kinds & 1 == 1;
            if depth > 0 && byte == if object { b'}' } else { b']' } {
                self.at += 1;
                kinds >>= 1;
                depth -= 1;
                if depth == 0 {
                    return Ok(Slot::Absent);
                }
                first = false;
                continue;
            }
            if depth > 0 {
                if !first {
                    self.expect(b',')?;
                    self.blanks();
                }
                if object {
                    self.expect(b'"')?;
                    self.string()?;
                    self.blanks();
                    self.expect(b':')?;
                    self.blanks();
                }
            }
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    depth += 1;
                    if depth >= DEPTH_MAX {
                        return Err(Surprise);
                    }
                    kinds = kinds << 1 | u64::from(open == b'{');
                    first = true;
                }
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                    first = false;
                }
                _ => {
                    self.at = scalar(self.line, self.at)?.1;
                    first = false;
                }
            }
        }
    }
}

/// A number, `true`, `false` or `null`, and where it ends.
pub(super) fn scalar(line: &[u8], start: usize) -> Scanned<(Slot, usize)> {
    let rest = line.get(start..).ok_or(Surprise)?;
    let word = |word: &[u8], slot| {
        let next = rest.get(word.len()).copied().unwrap_or(b' ');
        let ends = matches!(next, b',' | b'}' | b']' | b' ');
        if rest.starts_with(word) && ends {
            Ok((slot, start + word.len()))
        } else {
            Err(Surprise)
        }
    };
    match rest.first() {
        Some(b't') => return word(b"true", Slot::Boolean(true)),
        Some(b'f') => return word(b"false", Slot::Boolean(false)),
        Some(b'n') => return word(b"null", Slot::Null),
        _ => {}
    }
    let digits = |from: usize| {
        rest.get(from..)
            .map_or(0, |r| r.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let sign = usize::from(rest.first() == Some(&b'-'));
    let whole = digits(sign);
    if whole == 0 || (whole > 1 && rest.get(sign) == Some(&b'0')) || whole > 900 {
        return Err(Surprise);
    }
    let mut at = sign + whole;
    match rest.get(at) {
        Some(b'.' | b'e' | b'E') => {}
        _ => return Ok((Slot::Integer(start, start + at), start + at)),
    }
    if rest.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Err(Surprise);
        }
        at += 1 + fraction;
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return Err(Surprise);
        }
        at += 1 + sign + exponent;
    }
    if at > 900 {
        return Err(Surprise);
    }
    Ok((Slot::Float(start, start + at), start + at))
}

/// Whether a fast tier knows how to make values of a type.
pub(super) fn flat(kind: &Kind) -> bool {
    !matches!(kind, Kind::Struct(_) | Kind::List(_) | Kind::Map(_))
}

/// A converted value waiting for its record's others.
#[derive(Debug)]
pub(super) enum Ready {
    Null,
    Text(usize, usize),
    Value(Parsed),
}

/// Converts all slots, then appends one row. Nothing is appended if one of them is a surprise.
pub(super) fn commit(
    line: &[u8],
    slots: &[Slot],
    target: &Target,
    options: &JsonOptions,
    ready: &mut Vec<Ready>,
    columns: &mut [Column],
) -> Scanned<()> {
    // Strings and nulls need no conversion and cannot fail, so only the others wait.
    ready.clear();
    for (slot, kind) in slots.iter().zip(target.kinds()) {
        match (slot, kind) {
            (Slot::Text(..), Kind::String) | (Slot::Absent | Slot::Null, _) => {}
            _ => ready.push(convert(line, *slot, kind, options)?),
        }
    }
    let mut waiting = ready.drain(..);
    for (slot, column) in slots.iter().zip(columns) {
        match (slot, column) {
            (Slot::Text(start, end), Column::Utf8(column)) => {
                column.push(line.get(*start..*end).unwrap_or_default());
            }
            (Slot::Absent | Slot::Null, column) => column.push_null(),
            (_, column) => match (waiting.next(), column) {
                (Some(Ready::Value(value)), column) => value.push(column).map_err(|_| Surprise)?,
                (Some(Ready::Text(start, end)), Column::Utf8(column)) => {
                    column.push(line.get(start..end).unwrap_or_default());
                }
                (Some(Ready::Null), column) => column.push_null(),
                _ => return Err(Surprise),
            },
        }
    }
    Ok(())
}

fn convert(line: &[u8], slot: Slot, kind: &Kind, options: &JsonOptions) -> Scanned<Ready> {
    let span = |start: usize, end: usize| line.get(start..end).ok_or(Surprise);
    let value = match (slot, kind) {
        (Slot::Absent | Slot::Null, _) | (_, Kind::Null) => return Ok(Ready::Null),
        (Slot::Text(start, end), Kind::String) => return Ok(Ready::Text(start, end)),
        (Slot::Integer(start, end), Kind::String) => {
            // `-0` and integers beyond 64 bits are the only ones whose text is not their value's.
            let text = span(start, end)?;
            let same =
                options.exact_strings || parse_i64(text).is_some_and(|v| v != 0 || text == b"0");
            return if same {
                Ok(Ready::Text(start, end))
            } else {
                Err(Surprise)
            };
        }
        (Slot::Float(start, end), Kind::String) if options.exact_strings => {
            return Ok(Ready::Text(start, end));
        }
        (Slot::Boolean(value), Kind::Boolean) => Some(Parsed::Boolean(value)),
        (Slot::Integer(start, end), kind) => from_integer(span(start, end)?, kind),
        (Slot::Float(start, end), kind) => from_float(span(start, end)?, kind),
        (Slot::Text(start, end), Kind::Timestamp) => options
            .temporal
            .timestamp(span(start, end)?)
            .map(Parsed::Int64),
        (Slot::Text(start, end), Kind::TimestampNtz) => options
            .temporal
            .timestamp_ntz(span(start, end)?)
            .map(Parsed::Int64),
        (Slot::Text(start, end), Kind::Date) => {
            options.temporal.date(span(start, end)?).map(Parsed::Int32)
        }
        _ => None,
    };
    value.map(Ready::Value).ok_or(Surprise)
}
