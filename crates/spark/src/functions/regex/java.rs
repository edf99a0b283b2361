//! Java's regular expressions in the syntax of `fancy-regex`.
//!
//! What differs, and what becomes of it:
//!
//! | Java | here |
//! |---|---|
//! | `\d \w \s` and POSIX classes are ASCII unless `(?U)` | spelt out as classes |
//! | `(?i)` is ASCII unless `(?u)` | letters become classes of both cases |
//! | `.`, `^`, `$` know five line terminators; `$` matches before the last one | spelt out, see [`Lines`] |
//! | `\Q…\E`, `\uXXXX`, `\0nn`, `\cX`, `\h`, `\R`, `\Z` | spelt out |
//! | `[a[bc]]`, `[a&&[^b]]`, `[[:alpha:]]` (a set of six characters) | classes are parsed and printed again |
//! | `a{` and `*a` are errors | the same errors |
//!
//! Blocks (`\p{InGreek}`) are known for the common scripts only.
use std::{fmt::Write as _, iter::Peekable, str::Chars};

/// Whether texts may contain line terminators. Almost none do, and without them `$` is simply the end: that pattern needs
/// no lookahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// The text has no line terminator.
    Single,
    /// It may have some.
    Several,
}

/// A pattern that Java would refuse, or that cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadPattern(pub String);

type Result<T> = std::result::Result<T, BadPattern>;

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(BadPattern(why.into()))
}

/// A translated pattern.
#[derive(Debug)]
pub(super) struct Translated {
    pub text: String,
    /// Whether line terminators matter to it.
    pub line_sensitive: bool,
}

/// Translates `pattern` for texts with or without line terminators.
pub(super) fn translate(pattern: &str, lines: Lines) -> Result<Translated> {
    let mut translator = Translator {
        chars: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags::default(),
        saved: vec![],
        lines,
        line_sensitive: false,
        repeatable: false,
        groups: group_count(pattern),
    };
    translator.run()?;
    Ok(Translated { text: translator.out, line_sensitive: translator.line_sensitive })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    unicode_case: bool,
    unicode_classes: bool,
    multi_line: bool,
    dot_all: bool,
    comments: bool,
    unix_lines: bool,
}

impl Flags {
    fn ascii_case(self) -> bool {
        self.ignore_case && !self.unicode_case && !self.unicode_classes
    }

    fn full_case(self) -> bool {
        self.ignore_case && (self.unicode_case || self.unicode_classes)
    }
}

const TERMINATORS: &str = r"\n\r\x{85}\x{2028}\x{2029}";

/// Number of capturing groups, for telling `\12` from `\1` followed by 2.
fn group_count(pattern: &str) -> usize {
    let mut count = 0;
    let mut chars = pattern.chars().peekable();
    let mut in_class = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '(' if in_class == 0 => {
                if chars.peek() != Some(&'?') {
                    count += 1;
                    continue;
                }
                chars.next();
                if chars.next_if_eq(&'<').is_some() && !matches!(chars.peek(), Some('=' | '!')) {
                    count += 1;
                }
            }
            _ => {}
        }
    }
    count
}

struct Translator<'p> {
    chars: Peekable<Chars<'p>>,
    out: String,
    flags: Flags,
    saved: Vec<Flags>,
    lines: Lines,
    line_sensitive: bool,
    /// Whether what was written last may be repeated.
    repeatable: bool,
    groups: usize,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(c) = self.chars.next() {
            match c {
                '\\' => self.escape()?,
                '[' => {
                    let class = self.class()?;
                    self.atom(&class);
                }
                '(' => self.open()?,
                ')' => {
                    let Some(flags) = self.saved.pop() else { return bad("Unmatched closing ')'") };
                    self.flags = flags;
                    self.atom(")");
                }
                '|' => self.mark("|"),
                '*' | '+' | '?' => self.repeat(c)?,
                '{' => self.counted()?,
                '.' => self.dot(),
                '^' => self.line_start(),
                '$' => self.line_end(self.flags.multi_line),
                '#' if self.flags.comments => while self.chars.next().is_some_and(|c| c != '\n') {},
                c if self.flags.comments && c.is_ascii_whitespace() => {}
                c => self.literal(c),
            }
        }
        if self.saved.is_empty() { Ok(()) } else { bad("Unclosed group") }
    }

    /// Something that may be repeated.
    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
    }

    /// Something that may not.
    fn mark(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = false;
    }

    fn literal(&mut self, c: char) {
        let mut text = String::new();
        if self.flags.ascii_case() && c.is_ascii_alphabetic() {
            let _ = write!(text, "[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
        } else if self.flags.full_case() {
            text.push_str("(?i:");
            push_escaped(&mut text, c);
            text.push(')');
        } else {
            push_escaped(&mut text, c);
        }
        self.atom(&text);
    }

    fn dot(&mut self) {
        let text = match (self.flags.dot_all, self.flags.unix_lines) {
            (true, _) => "(?s:.)".to_string(),
            (_, true) => r"[^\n]".to_string(),
            _ => format!("[^{TERMINATORS}]"),
        };
        self.atom(&text);
    }

    fn line_start(&mut self) {
        if !self.flags.multi_line {
            return self.atom(r"\A");
        }
        self.line_sensitive = true;
        match self.lines {
            Lines::Single => self.atom(r"\A"),
            Lines::Several => self.atom(
                r"(?:\A|(?:(?<=\n)|(?<=\r)(?!\n)|(?<=[\x{85}\x{2028}\x{2029}]))(?!\z))",
            ),
        }
    }

    fn line_end(&mut self, every_line: bool) {
        self.line_sensitive = true;
        match (self.lines, every_line) {
            (Lines::Single, _) => self.atom(r"\z"),
            (Lines::Several, false) => {
                let text = format!(r"(?:\z|(?=\r\n\z)|(?=[{TERMINATORS}]\z)(?!(?<=\r)\n))");
                self.atom(&text);
            }
            (Lines::Several, true) => {
                let text = format!(r"(?:\z|(?=[{TERMINATORS}])(?!(?<=\r)\n))");
                self.atom(&text);
            }
        }
    }

    fn repeat(&mut self, c: char) -> Result<()> {
        if !self.repeatable {
            return bad(format!("Dangling meta character '{c}'"));
        }
        self.out.push(c);
        self.after_repeat();
        Ok(())
    }

    fn counted(&mut self) -> Result<()> {
        let mut text = String::from("{");
        let mut ended = false;
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_digit() || matches!(c, ',' | '}')) {
            text.push(c);
            if c == '}' {
                ended = true;
                break;
            }
        }
        let starts = text.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if !self.repeatable || !ended || !starts {
            return bad("Illegal repetition");
        }
        self.out.push_str(&text);
        self.after_repeat();
        Ok(())
    }

    /// A repetition may be reluctant or possessive, and is not repeated itself.
    fn after_repeat(&mut self) {
        if let Some(c) = self.chars.next_if(|c| matches!(c, '?' | '+')) {
            self.out.push(c);
        }
        self.repeatable = false;
    }

    fn open(&mut self) -> Result<()> {
        let outer = self.flags;
        if self.chars.next_if_eq(&'?').is_none() {
            self.saved.push(outer);
            self.mark("(");
            return Ok(());
        }
        let Some(c) = self.chars.next() else { return bad("Unclosed group") };
        match c {
            ':' | '=' | '!' | '>' => self.mark(&format!("(?{c}")),
            '<' if matches!(self.chars.peek(), Some('=' | '!')) => {
                let kind = self.chars.next().unwrap_or('=');
                self.mark(&format!("(?<{kind}"));
            }
            '<' => {
                let mut name = String::new();
                while let Some(c) = self.chars.next_if(char::is_ascii_alphanumeric) {
                    name.push(c);
                }
                if self.chars.next() != Some('>') || name.is_empty() {
                    return bad("named capturing group is missing trailing '>'");
                }
                self.mark(&format!("(?<{name}>"));
            }
            c => return self.flag_group(c, outer),
        }
        self.saved.push(outer);
        Ok(())
    }

    /// `(?i)` to the end of the group, or `(?i:…)`.
    fn flag_group(&mut self, first: char, outer: Flags) -> Result<()> {
        let mut on = true;
        let mut c = first;
        loop {
            let flag = match c {
                '-' => {
                    on = false;
                    None
                }
                'i' => Some(&mut self.flags.ignore_case),
                'u' => Some(&mut self.flags.unicode_case),
                'U' => Some(&mut self.flags.unicode_classes),
                'm' => Some(&mut self.flags.multi_line),
                's' => Some(&mut self.flags.dot_all),
                'x' => Some(&mut self.flags.comments),
                'd' => Some(&mut self.flags.unix_lines),
                ')' => {
                    self.repeatable = false;
                    return Ok(());
                }
                ':' => {
                    self.saved.push(outer);
                    self.mark("(?:");
                    return Ok(());
                }
                _ => return bad("Unknown inline modifier"),
            };
            if let Some(flag) = flag {
                *flag = on;
            }
            match self.chars.next() {
                Some(next) => c = next,
                None => return bad("Unclosed group"),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        let Some(&c) = self.chars.peek() else { return bad("Unexpected internal error") };
        match c {
            'Q' => {
                self.chars.next();
                self.quotation(|translator, c| translator.literal(c));
            }
            'E' => {
                self.chars.next();
            }
            'b' | 'B' | 'A' | 'z' | 'G' => {
                self.chars.next();
                self.atom(&format!("\\{c}"));
            }
            'Z' => {
                self.chars.next();
                self.line_end(false);
            }
            'R' => {
                self.chars.next();
                self.atom(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])");
            }
            'X' => return bad("\\X is not supported"),
            'k' => {
                self.chars.next();
                let name: String = self.chars.by_ref().take_while(|c| *c != '>').collect();
                let Some(name) = name.strip_prefix('<') else {
                    return bad("\\k is not followed by '<' for named capturing group");
                };
                self.atom(&format!("\\k<{name}>"));
            }
            '1'..='9' => self.back_reference(),
            _ => {
                if let Some(class) = self.class_escape()? {
                    self.atom(&class);
                } else {
                    let c = self.character_escape()?;
                    self.literal(c);
                }
            }
        }
        Ok(())
    }

    fn quotation(&mut self, mut each: impl FnMut(&mut Self, char)) {
        while let Some(c) = self.chars.next() {
            if c == '\\' && self.chars.next_if_eq(&'E').is_some() {
                return;
            }
            each(self, c);
        }
    }

    /// As many digits as there are groups for.
    fn back_reference(&mut self) {
        let mut number = 0;
        while let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(10)) {
            let longer = number * 10 + digit as usize;
            if number > 0 && longer > self.groups {
                break;
            }
            number = longer;
            self.chars.next();
        }
        // Java: a reference to a group that is not there never matches.
        let text = if number > self.groups { "(?!)".to_string() } else { format!("(?:\\{number})") };
        self.atom(&text);
    }

    /// A class such as `\d`, if one comes next.
    fn class_escape(&mut self) -> Result<Option<String>> {
        let Some(&c) = self.chars.peek() else { return Ok(None) };
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
        Ok(if negated { format!("[^{class}]") } else { format!("[{class}]") })
    }

    /// A single character after the backslash.
    fn character_escape(&mut self) -> Result<char> {
        let Some(c) = self.chars.next() else { return bad("Unexpected internal error") };
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
                return char::from_u32(code).ok_or_else(|| BadPattern("Illegal octal escape".into()));
            }
            'c' => {
                let Some(c) = self.chars.next() else { return bad("Illegal control escape sequence") };
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
        let Some(high) = unit(&first) else { return bad("Illegal Unicode escape sequence") };
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
    fn class(&mut self) -> Result<String> {
        let mut out = String::from("[");
        if self.chars.next_if_eq(&'^').is_some() {
            out.push('^');
        }
        let mut empty = true;
        loop {
            let Some(c) = self.chars.next() else { return bad("Unclosed character class") };
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
        Ok(if self.flags.full_case() { format!("(?i:{out})") } else { out })
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
    let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    code.ok_or_else(|| BadPattern("Illegal hexadecimal escape sequence".into()))
}

fn push_escaped(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() || c == '_' {
        out.push(c);
    } else if c.is_ascii_graphic() {
        out.extend(['\\', c]);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}

/// The inside of a class for a property name.
fn property_class(name: &str) -> Option<String> {
    let ascii = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`\{-~",
        "Graph" => "!-~",
        "Print" => r"\x20-~",
        "Blank" => r"\x20\t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => r"\t\n\x0B\x0C\r\x20",
        "L1" => r"\x00-\xFF",
        "all" => r"\x00-\x{10FFFF}",
        "javaLowerCase" => r"\p{Lowercase}",
        "javaUpperCase" => r"\p{Uppercase}",
        "javaWhitespace" => r"\s",
        "javaLetter" | "javaAlphabetic" => r"\p{L}",
        "javaDigit" => r"\p{Nd}",
        "javaLetterOrDigit" => r"\p{L}\p{Nd}",
        _ => return unicode_property(name),
    };
    Some(ascii.to_string())
}

fn unicode_property(name: &str) -> Option<String> {
    let plain = |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some((key, value)) = name.split_once('=') {
        return match key {
            "sc" | "script" => Some(format!(r"\p{{Script={value}}}")),
            "gc" | "general_category" => Some(format!(r"\p{{{value}}}")),
            "blk" | "block" => block(value).map(str::to_string),
            _ => None,
        };
    }
    if let Some(name) = name.strip_prefix("In") {
        return block(name).map(str::to_string);
    }
    let name = name.strip_prefix("Is").unwrap_or(name);
    let name = match name {
        "WhiteSpace" | "White_Space" => "White_Space",
        "Digit" => "Nd",
        "Letter" => "L",
        "Punctuation" => "P",
        "Control" => "Cc",
        other => other,
    };
    plain(name).then(|| format!(r"\p{{{name}}}"))
}

fn block(name: &str) -> Option<&'static str> {
    let key: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(match key.to_ascii_lowercase().as_str() {
        "basiclatin" => r"\x00-\x7F",
        "latin1supplement" => r"\x80-\xFF",
        "latinextendeda" => r"\x{100}-\x{17F}",
        "latinextendedb" => r"\x{180}-\x{24F}",
        "greek" | "greekandcoptic" => r"\x{370}-\x{3FF}",
        "cyrillic" => r"\x{400}-\x{4FF}",
        "armenian" => r"\x{530}-\x{58F}",
        "hebrew" => r"\x{590}-\x{5FF}",
        "arabic" => r"\x{600}-\x{6FF}",
        "devanagari" => r"\x{900}-\x{97F}",
        "thai" => r"\x{E00}-\x{E7F}",
        "generalpunctuation" => r"\x{2000}-\x{206F}",
        "currencysymbols" => r"\x{20A0}-\x{20CF}",
        "hiragana" => r"\x{3040}-\x{309F}",
        "katakana" => r"\x{30A0}-\x{30FF}",
        "cjkunifiedideographs" => r"\x{4E00}-\x{9FFF}",
        "hangulsyllables" => r"\x{AC00}-\x{D7AF}",
        "emoticons" => r"\x{1F600}-\x{1F64F}",
        _ => return None,
    })
}
