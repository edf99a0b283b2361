//! Character classes and escapes of single characters.
use super::{BadPattern, Result, Translator, bad, push_escaped};
use crate::functions::regex::property::property_class;

impl Translator<'_> {
    /// A class such as `\d`, if one comes next.
    pub(super) fn class_escape(&mut self) -> Result<Option<String>> {
        let Some(&c) = self.chars.peek() else {
            return Ok(None);
        };
        if self.flags.unicode_classes && matches!(c, 'd' | 'D' | 'w' | 'W' | 's' | 'S') {
            self.chars.next();
            return Ok(Some(format!("\\{c}")));
        }
        let inside = match c.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "a-zA-Z0-9_",
            's' => r"\t\n\x0B\x0C\r\x20",
            'h' => r"\x20\t\xA0\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}",
            'v' => r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}",
            'p' => return self.property().map(Some),
            _ => return Ok(None),
        };
        self.chars.next();
        let not = if c.is_ascii_uppercase() { "^" } else { "" };
        Ok(Some(format!("[{not}{inside}]")))
    }

    /// `\p{…}` and `\P{…}`.
    fn property(&mut self) -> Result<String> {
        let negated = self.chars.next() == Some('P');
        let name: String = match self.chars.next() {
            Some('{') => self.chars.by_ref().take_while(|c| *c != '}').collect(),
            Some(c) => c.to_string(),
            None => return bad("Unclosed character family"),
        };
        let class = property_class(&name)
            .ok_or_else(|| BadPattern(format!("Unknown character property name {{{name}}}")))?;
        Ok(if negated {
            format!("[^{class}]")
        } else {
            format!("[{class}]")
        })
    }

    /// A single character after the backslash.
    pub(super) fn character_escape(&mut self) -> Result<char> {
        let Some(c) = self.chars.next() else {
            return bad("Unexpected internal error");
        };
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0C',
            'a' => '\x07',
            'e' => '\x1B',
            '0' => {
                let mut code = 0;
                for _ in 0..3 {
                    let digit = self.chars.peek().and_then(|c| c.to_digit(8));
                    match digit {
                        Some(d) if code * 8 + d <= 0o377 => {
                            code = code * 8 + d;
                            self.chars.next();
                        }
                        _ => break,
                    }
                }
                return char::from_u32(code)
                    .ok_or_else(|| BadPattern("Illegal octal escape".into()));
            }
            'c' => {
                let Some(c) = self.chars.next() else {
                    return bad("Illegal control escape sequence");
                };
                char::from_u32(u32::from(c) ^ 64).unwrap_or(c)
            }
            'x' if self.chars.next_if_eq(&'{').is_some() => {
                let digits: String = self.chars.by_ref().take_while(|c| *c != '}').collect();
                return hex_character(&digits);
            }
            'x' => return hex_character(&self.take(2)),
            'u' => return self.utf16_escape(),
            c if c.is_ascii_alphabetic() => return bad("Illegal/unsupported escape sequence"),
            c => c,
        })
    }

    fn take(&mut self, count: usize) -> String {
        self.chars.by_ref().take(count).collect()
    }

    /// `\uXXXX`, two of them for a character beyond the basic plane.
    fn utf16_escape(&mut self) -> Result<char> {
        let first = self.take(4);
        let unit = |text: &str| u16::from_str_radix(text, 16).ok();
        let Some(high) = unit(&first) else {
            return bad("Illegal Unicode escape sequence");
        };
        if !(0xD800..0xDC00).contains(&high) {
            return hex_character(&first);
        }
        let low = match self.take(2).as_str() {
            "\\u" => unit(&self.take(4)),
            _ => None,
        };
        let decoded = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
        decoded.ok_or_else(|| BadPattern("Illegal Unicode escape sequence".into()))
    }

    /// A class after its `[`, as one with the same meaning here.
    pub(super) fn class(&mut self) -> Result<String> {
        let mut out = String::from("[");
        if self.chars.next_if_eq(&'^').is_some() {
            out.push('^');
        }
        let mut empty = true;
        loop {
            let Some(c) = self.chars.next() else {
                return bad("Unclosed character class");
            };
            match c {
                ']' if !empty => break,
                '[' => {
                    let inner = self.class()?;
                    out.push_str(&inner);
                }
                '&' if self.chars.next_if_eq(&'&').is_some() => out.push_str("&&"),
                '\\' if self.chars.next_if_eq(&'Q').is_some() => {
                    self.quotation(|translator, c| translator.class_range(&mut out, c, c));
                }
                '\\' => match self.class_escape()? {
                    Some(class) => out.push_str(&class),
                    None => {
                        let from = self.character_escape()?;
                        self.range_from(&mut out, from)?;
                    }
                },
                c if self.flags.comments && c.is_ascii_whitespace() => continue,
                c => self.range_from(&mut out, c)?,
            }
            empty = false;
        }
        out.push(']');
        Ok(if self.flags.full_case() {
            format!("(?i:{out})")
        } else {
            out
        })
    }

    /// `from`, or the range that begins with it.
    fn range_from(&mut self, out: &mut String, from: char) -> Result<()> {
        let mut ahead = self.chars.clone();
        let ranges = ahead.next() == Some('-') && !matches!(ahead.peek(), None | Some(']' | '['));
        if !ranges {
            self.class_range(out, from, from);
            return Ok(());
        }
        self.chars.next();
        let to = match self.chars.next() {
            Some('\\') => self.character_escape()?,
            Some(c) => c,
            None => return bad("Unclosed character class"),
        };
        if to < from {
            return bad("Illegal character range");
        }
        self.class_range(out, from, to);
        Ok(())
    }

    fn class_range(&self, out: &mut String, from: char, to: char) {
        let mut push = |from: char, to: char| {
            push_escaped(out, from);
            if from != to {
                out.push('-');
                push_escaped(out, to);
            }
        };
        push(from, to);
        if !self.flags.ascii_case() {
            return;
        }
        let mut push_case = |first: char, last: char, change: fn(&char) -> char| {
            let (from, to) = (from.max(first), to.min(last));
            if from <= to {
                push(change(&from), change(&to));
            }
        };
        push_case('a', 'z', char::to_ascii_uppercase);
        push_case('A', 'Z', char::to_ascii_lowercase);
    }
}

fn hex_character(digits: &str) -> Result<char> {
    let code = u32::from_str_radix(digits, 16)
        .ok()
        .and_then(char::from_u32);
    code.ok_or_else(|| BadPattern("Illegal hexadecimal escape sequence".into()))
}
