//! Java's character properties: `\p{…}` as the inside of a class.
//!
//! POSIX classes are ASCII. Scripts, categories and binary properties have the same names here but for an `Is`; blocks are
//! spelt out, and only the common ones are known.

/// The inside of a class for a property name; `None` if it is not known.
pub(super) fn property_class(name: &str) -> Option<String> {
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
