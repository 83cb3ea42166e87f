//! Writing XML: elements, text, nothing else.

/// A document under construction.
#[derive(Debug, Default)]
pub(crate) struct Xml {
    text: String,
}

impl Xml {
    pub(crate) fn new() -> Xml {
        Xml::default()
    }

    /// Starts with the declaration, as S3 does.
    pub(crate) fn declared() -> Xml {
        Xml {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
        }
    }

    /// An element with children.
    pub(crate) fn element(&mut self, name: &str, children: impl FnOnce(&mut Xml)) {
        self.text.push_str(&format!("<{name}>"));
        children(self);
        self.text.push_str(&format!("</{name}>"));
    }

    /// The root element, with its namespace.
    pub(crate) fn root(&mut self, name: &str, namespace: &str, children: impl FnOnce(&mut Xml)) {
        self.text
            .push_str(&format!("<{name} xmlns=\"{namespace}\">"));
        children(self);
        self.text.push_str(&format!("</{name}>"));
    }

    /// An element with text.
    pub(crate) fn leaf(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!("<{name}>"));
        escape_into(&mut self.text, value);
        self.text.push_str(&format!("</{name}>"));
    }

    /// An element with text, when there is a value.
    pub(crate) fn optional_leaf(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    /// A list as the query protocol writes it: `<name><member>…</member></name>`.
    pub(crate) fn members<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Xml, T),
    ) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| write(xml, item));
            }
        });
    }

    pub(crate) fn push(&mut self, other: &Xml) {
        self.text.push_str(&other.text);
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// The text so far, escaped: the content of a `member` that is a plain value.
    pub(crate) fn content(&mut self, value: &str) {
        escape_into(&mut self.text, value);
    }
}

/// Control characters that XML 1.0 cannot carry are written as the replacement character.
fn escape_into(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            '\r' => text.push_str("&#13;"),
            '\n' | '\t' => text.push(char),
            control if control.is_control() => text.push('\u{FFFD}'),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut xml = Xml::new();
        xml.element("A", |xml| xml.leaf("B", "</B><C a=\"1\">&\u{0}\r"));
        assert_eq!(
            xml.into_text(),
            "<A><B>&lt;/B&gt;&lt;C a=&quot;1&quot;&gt;&amp;\u{FFFD}&#13;</B></A>"
        );
    }
}
