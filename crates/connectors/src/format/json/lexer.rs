//! A pull tokenizer over one record, with Jackson's idea of what JSON is.
//!
//! The caller drives it by structure: [`Lexer::value`] names the next value's kind, then the matching method
//! reads or skips it. Nothing is copied unless a string has escapes. Like Jackson's it stops at the end of
//! the root value, so that what follows on the line is never looked at.
use super::options::Syntax;

/// Nesting beyond this is malformed, as Jackson has it.
const DEPTH_MAX: usize = 1000;
/// Numbers of more characters are malformed, as Jackson has it.
const NUMBER_MAX: usize = 1000;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Offset of the byte that does not fit.
    pub at: usize,
    /// Whether it begins the value of a field and is no value at all (`{"a": tru}`): Jackson then leaves
    /// the enclosing object in a state that readers take for its end.
    pub after_name: bool,
}

/// Kind of the next value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Object,
    Array,
    /// A string; its content has not been looked at.
    String,
    /// A number without fraction and exponent: start and end.
    Integer(usize, usize),
    /// Any other number.
    Float(usize, usize),
    /// `NaN`, `Infinity`, `-INF` and the like: start and end.
    NonNumeric(usize, usize),
    True,
    False,
    Null,
}

type Lexed<T> = Result<T, Malformed>;

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    syntax: Syntax,
    /// Whether the text is known to be ASCII without control characters, so that strings need no check.
    clean: bool,
    scratch: &'a mut Vec<u8>,
}

/// A string's content: a part of the record, or what the scratch buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Span(usize, usize),
    Scratch,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], syntax: Syntax, scratch: &'a mut Vec<u8>) -> Self {
        Self {
            text,
            at: 0,
            syntax,
            clean: false,
            scratch,
        }
    }

    /// Takes the caller's word that the text is ASCII without control characters.
    pub(super) fn assume_clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// Skips a byte order mark, which Jackson looks for when it reads bytes.
    pub(super) fn skip_byte_order_mark(&mut self) {
        if self.text.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn span(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Content of a string that [`Lexer::string`] or [`Lexer::next_name`] has read.
    pub(super) fn content(&self, text: Text) -> &[u8] {
        match text {
            Text::Span(start, end) => self.span(start, end),
            Text::Scratch => self.scratch,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn malformed<T>(&self) -> Lexed<T> {
        Err(Malformed {
            at: self.at,
            after_name: false,
        })
    }

    /// Skips blanks and comments; the byte after them, `None` at the end.
    pub(super) fn skip_blanks(&mut self) -> Lexed<Option<u8>> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') if self.syntax.comments => self.skip_comment()?,
                other => return Ok(other),
            }
        }
    }

    fn skip_comment(&mut self) -> Lexed<()> {
        let rest = self.text.get(self.at + 2..).unwrap_or_default();
        match self.text.get(self.at + 1) {
            Some(b'*') => match rest.windows(2).position(|w| w == b"*/") {
                Some(length) => self.at += length + 4,
                None => return self.malformed(),
            },
            Some(b'/') => {
                let length = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
                self.at += 2 + length.unwrap_or(rest.len());
            }
            _ => return self.malformed(),
        }
        Ok(())
    }

    /// The kind of the value that comes next. Objects, arrays and strings are entered by the call; other
    /// values are consumed.
    pub(super) fn value(&mut self) -> Lexed<Token> {
        let Some(byte) = self.skip_blanks()? else {
            return self.malformed();
        };
        match byte {
            b'"' => {
                self.at += 1;
                Ok(Token::String)
            }
            b'\'' if self.syntax.single_quotes => {
                self.at += 1;
                Ok(Token::String)
            }
            b'{' => {
                self.at += 1;
                Ok(Token::Object)
            }
            b'[' => {
                self.at += 1;
                Ok(Token::Array)
            }
            b't' => self.word(b"true", Token::True),
            b'f' => self.word(b"false", Token::False),
            b'n' => self.word(b"null", Token::Null),
            b'-' | b'0'..=b'9' => self.number(),
            b'N' => self.non_numeric(&[b"NaN"]),
            b'I' => self.non_numeric(&[b"Infinity"]),
            b'+' => self.non_numeric(&[b"+Infinity", b"+INF"]),
            _ => self.malformed(),
        }
    }

    fn word(&mut self, word: &[u8], token: Token) -> Lexed<Token> {
        if !self
            .text
            .get(self.at..)
            .unwrap_or_default()
            .starts_with(word)
        {
            return self.malformed();
        }
        if self
            .text
            .get(self.at + word.len())
            .is_some_and(|b| is_identifier(*b))
        {
            return self.malformed();
        }
        self.at += word.len();
        Ok(token)
    }

    fn non_numeric(&mut self, words: &[&[u8]]) -> Lexed<Token> {
        let start = self.at;
        if self.syntax.non_numeric {
            for word in words {
                if self.word(word, Token::Null).is_ok() {
                    return Ok(Token::NonNumeric(start, self.at));
                }
            }
        }
        self.malformed()
    }

    fn number(&mut self) -> Lexed<Token> {
        let start = self.at;
        let mut at = start + usize::from(self.peek() == Some(b'-'));
        let digits = |from: usize| {
            let rest = self.text.get(from..).unwrap_or_default();
            rest.iter().take_while(|b| b.is_ascii_digit()).count()
        };
        let whole = digits(at);
        if whole == 0 {
            return match self.text.get(at) {
                Some(b'I') => self.non_numeric(&[b"-Infinity", b"-INF"]),
                _ => self.malformed(),
            };
        }
        if whole > 1 && self.text.get(at) == Some(&b'0') && !self.syntax.leading_zeros {
            return self.malformed();
        }
        at += whole;
        let mut float = false;
        if self.text.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return self.malformed();
            }
            (float, at) = (true, at + 1 + fraction);
        }
        if matches!(self.text.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.text.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at + 1 + sign);
            if exponent == 0 {
                return self.malformed();
            }
            (float, at) = (true, at + 1 + sign + exponent);
        }
        if at - start > NUMBER_MAX {
            return self.malformed();
        }
        self.at = at;
        Ok(if float {
            Token::Float(start, at)
        } else {
            Token::Integer(start, at)
        })
    }

    /// Reads a string whose opening quote [`Lexer::value`] has consumed.
    pub(super) fn string(&mut self) -> Lexed<Text> {
        let quote = self.opening_quote();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let Some(length) = memchr::memchr2(quote, b'\\', rest) else {
            return self.malformed();
        };
        let end = start + length;
        self.check_plain(start, end)?;
        if rest.get(length) == Some(&quote) {
            self.at = end + 1;
            return Ok(Text::Span(start, end));
        }
        self.scratch.clear();
        self.scratch
            .extend_from_slice(self.text.get(start..end).unwrap_or_default());
        self.at = end;
        self.escaped_string(quote)?;
        Ok(Text::Scratch)
    }

    fn opening_quote(&self) -> u8 {
        self.at
            .checked_sub(1)
            .and_then(|at| self.text.get(at))
            .copied()
            .unwrap_or(b'"')
    }

    /// No control characters, and valid UTF-8, in a stretch without escapes.
    fn check_plain(&mut self, start: usize, end: usize) -> Lexed<()> {
        if self.clean {
            return Ok(());
        }
        let part = self.text.get(start..end).unwrap_or_default();
        if !self.syntax.control_characters
            && let Some(offset) = part.iter().position(|b| *b < b' ')
        {
            return Err(Malformed {
                at: start + offset,
                after_name: false,
            });
        }
        if !part.is_ascii() && std::str::from_utf8(part).is_err() {
            return Err(Malformed {
                at: start,
                after_name: false,
            });
        }
        Ok(())
    }

    /// The rest of a string from its first backslash on, into the scratch buffer.
    fn escaped_string(&mut self, quote: u8) -> Lexed<()> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(length) = memchr::memchr2(quote, b'\\', rest) else {
                return self.malformed();
            };
            let end = self.at + length;
            self.check_plain(self.at, end)?;
            self.scratch
                .extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
            self.at = end + 1;
            if self.text.get(end) == Some(&quote) {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// One escape, after its backslash.
    fn escape(&mut self) -> Lexed<()> {
        let Some(byte) = self.peek() else {
            return self.malformed();
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                return self.unicode_escape();
            }
            b'\'' if self.syntax.single_quotes => byte,
            _ if self.syntax.escape_anything && byte.is_ascii() => byte,
            _ => return self.malformed(),
        };
        self.scratch.push(plain);
        self.at += 1;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Lexed<()> {
        let unit = self.hex()?;
        let scalar = match unit {
            0xd800..=0xdbff if self.text.get(self.at..self.at + 2) == Some(b"\\u") => {
                let saved = self.at;
                self.at += 2;
                match self.hex()? {
                    low @ 0xdc00..=0xdfff => {
                        char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                    }
                    _ => {
                        self.at = saved;
                        None
                    }
                }
            }
            _ => char::from_u32(unit),
        };
        // Half a surrogate pair is what Java prints as a question mark.
        let mut bytes = [0; 4];
        let encoded = scalar.unwrap_or('?').encode_utf8(&mut bytes);
        self.scratch.extend_from_slice(encoded.as_bytes());
        Ok(())
    }

    fn hex(&mut self) -> Lexed<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() < 4 {
            return self.malformed();
        }
        let mut value = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(digit) => value = value * 16 + digit,
                None => return self.malformed(),
            }
        }
        self.at += 4;
        Ok(value)
    }

    /// The next field name of an object that has been entered, and its colon; `None` at the end.
    pub(super) fn next_name(&mut self, first: bool) -> Lexed<Option<Text>> {
        let Some(mut byte) = self.skip_blanks()? else {
            return self.malformed();
        };
        if byte == b'}' {
            self.at += 1;
            return Ok(None);
        }
        if !first {
            if byte != b',' {
                return self.malformed();
            }
            self.at += 1;
            match self.skip_blanks()? {
                Some(next) => byte = next,
                None => return self.malformed(),
            }
        }
        let name = match byte {
            b'"' => {
                self.at += 1;
                self.string()?
            }
            b'\'' if self.syntax.single_quotes => {
                self.at += 1;
                self.string()?
            }
            _ if self.syntax.unquoted_names => self.bare_name()?,
            _ => return self.malformed(),
        };
        if self.skip_blanks()? != Some(b':') {
            return self.malformed();
        }
        self.at += 1;
        Ok(Some(name))
    }

    fn bare_name(&mut self) -> Lexed<Text> {
        let start = self.at;
        let allowed = |b: &u8| is_identifier(*b) || matches!(b, b'@' | b'#' | b'*' | b'-' | b'+');
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|b| allowed(b)).count();
        if length == 0 {
            return self.malformed();
        }
        self.at += length;
        Ok(Text::Span(start, self.at))
    }

    /// Whether an array that has been entered has another element.
    pub(super) fn next_element(&mut self, first: bool) -> Lexed<bool> {
        match self.skip_blanks()? {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => self.malformed(),
        }
    }

    /// Skips what is left of a value whose token is known.
    pub(super) fn skip_rest(&mut self, token: Token) -> Lexed<()> {
        match token {
            Token::String => self.string().map(drop),
            Token::Object => self.skip_levels(vec![true], true),
            Token::Array => self.skip_levels(vec![false], true),
            _ => Ok(()),
        }
    }

    /// Skips the elements that an array has left; `first` as for [`Lexer::next_element`].
    pub(super) fn skip_elements(&mut self, first: bool) -> Lexed<()> {
        self.skip_levels(vec![false], first)
    }

    /// Skips until all open levels (`true` for objects) are closed.
    fn skip_levels(&mut self, mut levels: Vec<bool>, mut first: bool) -> Lexed<()> {
        while let Some(object) = levels.last() {
            let more = match object {
                true => self.next_name(first)?.is_some(),
                false => self.next_element(first)?,
            };
            first = false;
            if !more {
                levels.pop();
                continue;
            }
            match self.value()? {
                Token::String => drop(self.string()?),
                token @ (Token::Object | Token::Array) => {
                    levels.push(token == Token::Object);
                    first = true;
                    if levels.len() > DEPTH_MAX {
                        return self.malformed();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
