//! Bytes into lines.

/// Cuts what arrives into lines, however it was cut into packets.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    /// The begun line.
    rest: Vec<u8>,
    /// The last byte was `\r`, which ended a line: a `\n` right after it belongs to the same line
    /// end.
    after_return: bool,
}

impl LineSplitter {
    /// Takes bytes and hands out the lines that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.rest.extend_from_slice(bytes);
                return;
            };
            let (text, tail) = bytes.split_at(end);
            self.rest.extend_from_slice(text);
            line(self.take());
            self.after_return = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
        }
    }

    /// The last line, if it has no line end.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.rest))
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(packets: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for packet in packets {
            splitter.push(packet, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn every_line_end_of_java_ends_a_line() {
        assert_eq!(
            split(&[b"a\nb\r\nc\rd\n\nlast"]),
            ["a", "b", "c", "d", "", "last"]
        );
        assert_eq!(split(&[b"\n\r\n\r"]), ["", "", ""]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn packets_may_cut_anywhere() {
        let text = "a\nb\r\nc\rd\n\ncafé\n".as_bytes();
        let whole = split(&[text]);
        for cut in 0..=text.len() {
            assert_eq!(split(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(split(&bytes), whole);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        assert_eq!(split(&[b"x\xff\xfey\n"]), ["x\u{fffd}\u{fffd}y"]);
    }
}
