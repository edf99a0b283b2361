//! Walks over JSON text the way Jackson does for Spark: single quotes are allowed, what follows the first value is not
//! looked at, and the first wrong byte ends everything.
use crate::literal::double_text;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) struct Malformed;

type Walk<T> = std::result::Result<T, Malformed>;

/// Nesting beyond this is malformed, as Jackson has it.
const DEPTH_MAX: usize = 1000;

/// Deviations from strict JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::functions) struct Leniency {
    /// `{a: 1}`
    pub unquoted_names: bool,
    /// `007`
    pub leading_zeros: bool,
    /// `NaN`, `Infinity`
    pub non_numeric: bool,
    /// `/* … */`, `// …`
    pub comments: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(in crate::functions) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    leniency: Leniency,
    expected: Expected,
}

/// What a cursor was looking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    Name,
    Colon,
    EndOfObject,
    EndOfArray,
}

impl<'t> Cursor<'t> {
    pub(in crate::functions) fn new(text: &'t str, leniency: Leniency) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            leniency,
            expected: Expected::Value,
        }
    }

    /// What Jackson says of the place at which the text stopped being JSON.
    pub(in crate::functions) fn complaint(&self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(found) = rest.chars().next() else {
            return match self.expected {
                Expected::EndOfArray => "Unexpected end-of-input within/between Array entries",
                _ => "Unexpected end-of-input within/between Object entries",
            }
            .to_owned();
        };
        let wanted = match self.expected {
            Expected::Name => "double-quote to start field name",
            Expected::Colon => "a colon to separate field name and value",
            Expected::EndOfObject => "comma to separate Object entries",
            Expected::EndOfArray => "comma to separate Array entries",
            Expected::Value => {
                let values = "(JSON String, Number (or 'NaN'/'+INF'/'-INF'), Array, Object or token 'null', 'true' or \
                              'false')";
                let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let token = rest.split(|c| !word(c)).next().unwrap_or_default();
                if !token.is_empty() {
                    return format!("Unrecognized token '{token}': was expecting {values}");
                }
                "a valid value (JSON String, Number (or 'NaN'/'+INF'/'-INF'), Array, Object or token 'null', 'true' or \
                 'false')"
            }
        };
        let code = u32::from(found);
        format!("Unexpected character ('{found}' (code {code})): was expecting {wanted}")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank.
    fn skip_blanks(&mut self) -> Walk<Option<u8>> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') if self.leniency.comments => self.skip_comment()?,
                other => return Ok(other),
            }
        }
    }

    fn skip_comment(&mut self) -> Walk<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = match rest.as_bytes() {
            [_, b'*', ..] => rest.get(2..).and_then(|r| r.find("*/")).ok_or(Malformed)? + 4,
            [_, b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            _ => return Err(Malformed),
        };
        self.at += length;
        Ok(())
    }

    /// Whether nothing but blanks is left.
    pub(in crate::functions) fn is_at_end(&mut self) -> Walk<bool> {
        Ok(self.skip_blanks()?.is_none())
    }

    /// The kind of the value that comes next; nothing is consumed but blanks.
    pub(in crate::functions) fn kind(&mut self) -> Walk<Kind> {
        self.expected = Expected::Value;
        Ok(match self.skip_blanks()?.ok_or(Malformed)? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' | b'\'' => Kind::String,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            b'-' | b'0'..=b'9' => Kind::Number,
            b'N' | b'I' | b'+' if self.leniency.non_numeric => Kind::Number,
            _ => return Err(Malformed),
        })
    }

    fn enter(&mut self) -> Walk<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(Malformed)
        } else {
            Ok(())
        }
    }

    /// Calls `each` for every element of the array that comes next. `each` must consume the element.
    pub(in crate::functions) fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Walk<()>,
    ) -> Walk<()> {
        self.enter()?;
        let mut first = true;
        loop {
            match self.skip_blanks()? {
                Some(b']') => break,
                Some(b',') if !first => self.at += 1,
                Some(_) if first => {}
                _ => return Err(Malformed),
            }
            first = false;
            each(self)?;
            self.expected = Expected::EndOfArray;
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Calls `each` for every field of the object that comes next. `each` must consume the value.
    pub(in crate::functions) fn fields(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Walk<()>,
    ) -> Walk<()> {
        self.enter()?;
        let mut first = true;
        let mut name = String::new();
        loop {
            match self.skip_blanks()? {
                Some(b'}') => break,
                Some(b',') if !first => {
                    self.at += 1;
                    self.skip_blanks()?;
                }
                Some(_) if first => {}
                _ => return Err(Malformed),
            }
            first = false;
            name.clear();
            self.expected = Expected::Name;
            self.name(&mut name)?;
            self.expected = Expected::Colon;
            if self.skip_blanks()? != Some(b':') {
                return Err(Malformed);
            }
            self.at += 1;
            each(self, &name)?;
            self.expected = Expected::EndOfObject;
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    fn name(&mut self, out: &mut String) -> Walk<()> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(out),
            _ if self.leniency.unquoted_names => {
                let rest = self.text.get(self.at..).ok_or(Malformed)?;
                let part =
                    |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '@' | '#' | '*');
                let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
                if length == 0 {
                    return Err(Malformed);
                }
                out.push_str(rest.get(..length).unwrap_or_default());
                self.at += length;
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    /// Appends the content of the string that comes next.
    pub(in crate::functions) fn string(&mut self, out: &mut String) -> Walk<()> {
        let quote = self.peek().ok_or(Malformed)?;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).ok_or(Malformed)?;
            let stop = |b: &u8| *b == quote || *b == b'\\' || *b < 0x20;
            let length = rest.as_bytes().iter().position(stop).ok_or(Malformed)?;
            out.push_str(rest.get(..length).ok_or(Malformed)?);
            self.at += length + 1;
            match rest.as_bytes().get(length) {
                Some(b'\\') => self.escape(out)?,
                Some(b) if *b == quote => return Ok(()),
                _ => return Err(Malformed),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Walk<()> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        out.push(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            // Allowed along with single quotes.
            b'\'' => '\'',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode_escape()?,
            _ => return Err(Malformed),
        });
        Ok(())
    }

    fn unicode_escape(&mut self) -> Walk<char> {
        let high = self.hex4()?;
        if !(0xD800..0xE000).contains(&high) {
            return char::from_u32(high.into()).ok_or(Malformed);
        }
        let mut ahead = self.clone();
        let followed = self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with("\\u"));
        if followed {
            ahead.at += 2;
            let low = ahead.hex4()?;
            if let Some(Ok(c)) = char::decode_utf16([high, low]).next() {
                self.at = ahead.at;
                return Ok(c);
            }
        }
        // Half a character: Spark's UTF-8 has a question mark for it.
        Ok('?')
    }

    fn hex4(&mut self) -> Walk<u16> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|_| Malformed)
    }

    /// The number that comes next, as written.
    pub(in crate::functions) fn number(&mut self) -> Walk<&'t str> {
        let rest = self.text.get(self.at..).ok_or(Malformed)?;
        if self.leniency.non_numeric
            && let Some(word) = [
                "NaN",
                "Infinity",
                "+Infinity",
                "-Infinity",
                "+INF",
                "-INF",
                "INF",
            ]
            .into_iter()
            .find(|w| rest.starts_with(w))
        {
            self.at += word.len();
            return rest.get(..word.len()).ok_or(Malformed);
        }
        let bytes = rest.as_bytes();
        let digits = |from: usize| {
            bytes
                .get(from..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count()
        };
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let whole = digits(sign);
        let zero_first = bytes.get(sign) == Some(&b'0') && whole > 1;
        if whole == 0 || (zero_first && !self.leniency.leading_zeros) {
            return Err(Malformed);
        }
        let mut end = sign + whole;
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return Err(Malformed);
            }
            end += 1 + fraction;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return Err(Malformed);
            }
            end += 1 + sign + exponent;
        }
        self.at += end;
        self.ends_word()?;
        rest.get(..end).ok_or(Malformed)
    }

    fn word(&mut self, word: &str) -> Walk<()> {
        let rest = self.text.get(self.at..).ok_or(Malformed)?;
        if !rest.starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        self.ends_word()
    }

    fn ends_word(&self) -> Walk<()> {
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}' | b':' | b'/') => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// Passes over the value that comes next.
    pub(in crate::functions) fn skip(&mut self) -> Walk<()> {
        match self.kind()? {
            Kind::Object => self.fields(|c, _| c.skip()),
            Kind::Array => self.elements(Self::skip),
            Kind::String => {
                let mut ignored = String::new();
                self.string(&mut ignored)
            }
            Kind::Number => self.number().map(|_| ()),
            Kind::True => self.word("true"),
            Kind::False => self.word("false"),
            Kind::Null => self.word("null"),
        }
    }

    /// Appends the value that comes next as Jackson writes it: no blanks, numbers with a fraction as doubles.
    pub(in crate::functions) fn copy(&mut self, out: &mut String) -> Walk<()> {
        match self.kind()? {
            Kind::Object => {
                out.push('{');
                let mut first = true;
                self.fields(|c, name| {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    push_quoted(name, out);
                    out.push(':');
                    c.copy(out)
                })?;
                out.push('}');
            }
            Kind::Array => {
                out.push('[');
                let mut first = true;
                self.elements(|c| {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    c.copy(out)
                })?;
                out.push(']');
            }
            Kind::String => {
                let mut content = String::new();
                self.string(&mut content)?;
                push_quoted(&content, out);
            }
            Kind::Number => push_number(self.number()?, out),
            Kind::True => {
                self.word("true")?;
                out.push_str("true");
            }
            Kind::False => {
                self.word("false")?;
                out.push_str("false");
            }
            Kind::Null => {
                self.word("null")?;
                out.push_str("null");
            }
        }
        Ok(())
    }
}

fn push_number(text: &str, out: &mut String) {
    let fraction = text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if fraction => out.push_str(&double_text(value)),
        _ if text == "-0" => out.push('0'),
        _ => out.push_str(text),
    }
}

fn push_quoted(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
