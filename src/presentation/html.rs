//! Text made safe inside an HTML page: the five characters that mean something there are written as
//! character references (HTML Living Standard §13.3, and the quotes for attribute values).

use std::fmt;

/// Shows a text so that it means itself both between tags and inside a quoted attribute.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, found, after)) = rest
            .find(['&', '<', '>', '"', '\''])
            .and_then(|at| Some((rest.get(..at)?, rest.get(at..=at)?, rest.get(at + 1..)?)))
        {
            f.write_str(before)?;
            f.write_str(match found {
                "&" => "&amp;",
                "<" => "&lt;",
                ">" => "&gt;",
                "\"" => "&quot;",
                _ => "&#39;",
            })?;
            rest = after;
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_shown_and_not_obeyed() {
        assert_eq!(
            Escaped("<a href=\"x\" title='y'>R&D é</a>").to_string(),
            "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;R&amp;D é&lt;/a&gt;"
        );
        assert_eq!(Escaped("").to_string(), "");
        assert_eq!(Escaped("plain").to_string(), "plain");
    }
}
