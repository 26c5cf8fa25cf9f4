//! What a guest wrote, kept within bounds: it can be of any length, and so can what is made of it.

use std::fmt::{self, Write};

/// Cuts a text at a character's boundary, with a mark.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    let cut = &text[..text.floor_char_boundary(bytes)];
    if cut.len() < text.len() { format!("{cut}…") } else { cut.to_owned() }
}

/// Writes `value` no further than `bytes`, with a mark where there was more. Nothing of what follows is even formatted.
pub(crate) fn written(value: impl fmt::Display, bytes: usize) -> String {
    let mut text = Bounded { text: String::new(), bytes };
    // The only error is ours: that there is no more room.
    if write!(text, "{value}").is_err() {
        text.text.push('…');
    }
    text.text
}

/// The length of a text as JSON writes it, between the quotes: what it costs in the ledger and in the log.
pub(crate) fn as_json(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    });
    bytes.sum()
}

struct Bounded {
    text: String,
    bytes: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.bytes.saturating_sub(self.text.len());
        let fits = &more[..more.floor_char_boundary(room)];
        self.text.push_str(fits);
        if fits.len() < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(cut("äää", 3), "ä…");
        assert_eq!(cut("äää", 6), "äää");
        assert_eq!(written(format_args!("{}{}", "ää", "ä"), 5), "ää…");
        assert_eq!(written(format_args!("{}{}", "ää", "ä"), 6), "äää");
    }

    #[test]
    fn nothing_is_formatted_beyond_the_bound() {
        struct Counted<'a>(&'a std::cell::Cell<u32>);
        impl fmt::Debug for Counted<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(self.0.get() + 1);
                f.write_str("0123456789")
            }
        }
        let formatted = std::cell::Cell::new(0);
        let many: Vec<_> = (0..1000).map(|_| Counted(&formatted)).collect();
        assert_eq!(written(format_args!("{many:?}"), 25), "[0123456789, 0123456789, …");
        assert_eq!(formatted.get(), 3);
    }

    proptest! {
        #[test]
        fn what_a_text_costs_is_what_json_writes(text in "\\PC*|[\u{0}-\u{20}\"\\\\é]*") {
            prop_assert_eq!(as_json(&text), serde_json::to_string(&text).unwrap().len() - 2);
        }
    }
}
