//! Character encodings of text files. Parsers work on UTF-8; everything else is converted first.
use std::fmt;

use super::{FormatError, Options};

/// The encodings Spark accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Ascii,
    Latin1,
    /// By its byte order mark; big-endian without one.
    Utf16,
    Utf16Le,
    Utf16Be,
    /// By its byte order mark; big-endian without one.
    Utf32,
}

impl Encoding {
    /// Options `encoding` and `charset`.
    pub(crate) fn from_options(options: &Options) -> Result<Self, FormatError> {
        let Some(name) = options.get("encoding").or_else(|| options.get("charset")) else {
            return Ok(Self::Utf8);
        };
        Ok(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "us-ascii" | "ascii" => Self::Ascii,
            "iso-8859-1" | "latin1" | "iso8859_1" => Self::Latin1,
            "utf-16" | "utf16" => Self::Utf16,
            "utf-16le" => Self::Utf16Le,
            "utf-16be" => Self::Utf16Be,
            "utf-32" | "utf32" => Self::Utf32,
            _ => {
                return Err(FormatError::InvalidOption {
                    option: "encoding".to_owned(),
                    value: name.to_owned(),
                    reason: "expects one of the iso-8859-1, us-ascii, utf-16, utf-16be, utf-16le, utf-32, utf-8"
                        .to_owned(),
                    class: Some("INVALID_PARAMETER_VALUE.CHARSET"),
                });
            }
        })
    }

    /// Converts to UTF-8; what cannot be converted becomes U+FFFD.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<u8> {
        let units = |big: bool, bytes: &[u8]| -> Vec<u16> {
            bytes
                .chunks_exact(2)
                .map(|pair| match pair {
                    [a, b] if big => u16::from_be_bytes([*a, *b]),
                    [a, b] => u16::from_le_bytes([*a, *b]),
                    _ => 0,
                })
                .collect()
        };
        match self {
            Self::Utf8 => bytes.to_vec(),
            Self::Ascii => String::from_iter(bytes.iter().map(|b| {
                if b.is_ascii() {
                    char::from(*b)
                } else {
                    '\u{fffd}'
                }
            }))
            .into_bytes(),
            Self::Latin1 => String::from_iter(bytes.iter().map(|b| char::from(*b))).into_bytes(),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => Self::Utf16Le.decode(rest),
                [0xfe, 0xff, rest @ ..] => Self::Utf16Be.decode(rest),
                rest => Self::Utf16Be.decode(rest),
            },
            Self::Utf16Le => String::from_utf16_lossy(&units(false, bytes)).into_bytes(),
            Self::Utf16Be => String::from_utf16_lossy(&units(true, bytes)).into_bytes(),
            Self::Utf32 => {
                let (little, rest) = match bytes {
                    [0xff, 0xfe, 0, 0, rest @ ..] => (true, rest),
                    [0, 0, 0xfe, 0xff, rest @ ..] => (false, rest),
                    rest => (false, rest),
                };
                let scalars = rest.chunks_exact(4).map(|quad| match quad {
                    [a, b, c, d] if little => u32::from_le_bytes([*a, *b, *c, *d]),
                    [a, b, c, d] => u32::from_be_bytes([*a, *b, *c, *d]),
                    _ => 0,
                });
                String::from_iter(scalars.map(|s| char::from_u32(s).unwrap_or('\u{fffd}')))
                    .into_bytes()
            }
        }
    }

    /// Converts from UTF-8 for writing; characters the encoding lacks become question marks.
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Ascii => text
                .chars()
                .map(|c| if c.is_ascii() { c as u8 } else { b'?' })
                .collect(),
            Self::Latin1 => text
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
                .collect(),
            Self::Utf16 | Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf32 => text
                .chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        }
    }

    /// Bytes a written file starts with.
    pub(crate) fn byte_order_mark(self) -> &'static [u8] {
        if self == Self::Utf16 {
            &[0xfe, 0xff]
        } else {
            &[]
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Ascii => "US-ASCII",
            Self::Latin1 => "ISO-8859-1",
            Self::Utf16 => "UTF-16",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Utf32 => "UTF-32",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for encoding in [
            Encoding::Utf8,
            Encoding::Utf16,
            Encoding::Utf16Le,
            Encoding::Utf16Be,
            Encoding::Utf32,
        ] {
            assert_eq!(
                encoding.decode(&encoding.encode("aé😀")),
                "aé😀".as_bytes(),
                "{encoding}"
            );
        }
        assert_eq!(
            Encoding::Latin1.decode(&Encoding::Latin1.encode("aé😀")),
            "aé?".as_bytes()
        );
    }
}
