//! A JSON array of strings, which is all the JSON this crate needs: no dependency for it.

/// Reads a JSON array of strings, and nothing else. An error says what was expected and at which byte.
pub(crate) fn strings(text: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut strings = Vec::new();
    reader.expect('[')?;
    if !reader.take(']') {
        loop {
            reader.expect('"')?;
            strings.push(reader.string()?);
            if reader.take(']') {
                break;
            }
            reader.expect(',')?;
        }
    }
    reader.skip_space();
    if reader.at < text.len() {
        Err(format!("nothing may follow the array, at byte {}", reader.at))
    } else {
        Ok(strings)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.text[self.at..].chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].bytes().take_while(|byte| b" \t\r\n".contains(byte)).count();
    }

    /// Takes `wanted`, after any white space, if it is next.
    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("expected '{wanted}' at byte {}", self.at)) }
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Result<String, String> {
        let mut string = String::new();
        loop {
            let at = self.at;
            match self.next() {
                Some('"') => return Ok(string),
                Some('\\') => string.push(self.escape().ok_or_else(|| format!("not an escape, at byte {at}"))?),
                Some(control) if control < ' ' => {
                    return Err(format!("a control character needs an escape, at byte {at}"));
                }
                Some(plain) => string.push(plain),
                None => return Err("the string does not end".to_owned()),
            }
        }
    }

    /// The rest of an escape, after its backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            plain @ ('"' | '\\' | '/') => plain,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.hex()?;
                if !(0xD800..0xDC00).contains(&unit) {
                    return char::from_u32(unit);
                }
                // Beyond the first 65,536 characters, JSON writes two escapes: a high and a low surrogate.
                let low = (self.next()? == '\\' && self.next()? == 'u').then(|| self.hex())??;
                let low = (0xDC00..0xE000).contains(&low).then(|| low - 0xDC00)?;
                return char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.next()?.to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_strings_is_read() {
        assert_eq!(strings("[]"), Ok(vec![]));
        assert_eq!(strings(" [ \"a\" ,\n\"b c\" ] "), Ok(vec!["a".to_owned(), "b c".to_owned()]));
        assert_eq!(
            strings(r#"["\"\\\/\b\f\n\r\t", "ä\u00e4\ud83d\ude00"]"#),
            Ok(vec!["\"\\/\u{8}\u{c}\n\r\t".to_owned(), "ää😀".to_owned()])
        );
    }

    #[test]
    fn anything_else_is_an_error_that_says_where() {
        for (text, message) in [
            ("", "expected '[' at byte 0"),
            ("{}", "expected '[' at byte 0"),
            ("[1]", "expected '\"' at byte 1"),
            ("[\"a\"", "expected ',' at byte 4"),
            ("[\"a\",]", "expected '\"' at byte 5"),
            ("[\"a\"] x", "nothing may follow the array, at byte 6"),
            ("[\"a", "the string does not end"),
            ("[\"\n\"]", "a control character needs an escape, at byte 2"),
            (r#"["\x"]"#, "not an escape, at byte 2"),
            (r#"["\u12"]"#, "not an escape, at byte 2"),
            (r#"["\ud83d"]"#, "not an escape, at byte 2"),
            (r#"["\ude00"]"#, "not an escape, at byte 2"),
            (r#"["\ud83d\u0041"]"#, "not an escape, at byte 2"),
        ] {
            assert_eq!(strings(text), Err(message.to_owned()), "{text}");
        }
    }
}
