//! The words of a condition.

use super::Text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    Comma,
    And,
    Or,
    Not,
    /// `@Source[name]`
    Attribute {
        source: String,
        name: String,
    },
    /// A name or a bare GUID.
    Word(String),
    Literal(Text),
}

/// Longer ones are refused: Azure takes 8 KB.
pub(super) const CHARACTERS_MAX: usize = 8_192;

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    if text.chars().count() > CHARACTERS_MAX {
        return Err(format!("it is longer than {CHARACTERS_MAX} characters"));
    }
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(char) = chars.next() {
        let token = match char {
            char if char.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '{' => Token::OpenBrace,
            '}' => Token::CloseBrace,
            ',' => Token::Comma,
            '!' => Token::Not,
            '&' if chars.next_if_eq(&'&').is_some() => Token::And,
            '|' if chars.next_if_eq(&'|').is_some() => Token::Or,
            '\'' => Token::Literal(literal(&mut chars)?),
            '@' => attribute(&mut chars)?,
            char if is_word(char) => word(char, &mut chars),
            other => return Err(format!("`{other}` is not part of the language")),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | ':' | '_')
}

fn literal(chars: &mut Chars<'_>) -> Result<Text, String> {
    let mut text = Text::default();
    loop {
        match chars.next() {
            None => return Err("a literal is not closed".to_owned()),
            Some('\'') => return Ok(text),
            Some('\\') => match chars.next() {
                Some(char @ ('\'' | '\\' | '*' | '?')) => text.0.push((char, true)),
                _ => return Err("`\\` stands before what needs no escape".to_owned()),
            },
            Some(char) => text.0.push((char, false)),
        }
    }
}

fn attribute(chars: &mut Chars<'_>) -> Result<Token, String> {
    let mut source = String::new();
    while let Some(char) = chars.next_if(char::is_ascii_alphabetic) {
        source.push(char);
    }
    if chars.next() != Some('[') {
        return Err(format!("`@{source}` has no attribute in brackets"));
    }
    let mut name = String::new();
    loop {
        match chars.next() {
            Some(']') => return Ok(Token::Attribute { source, name }),
            Some(char) if !char.is_whitespace() => name.push(char),
            _ => return Err(format!("the attribute `{name}` is not closed")),
        }
    }
}

fn word(first: char, chars: &mut Chars<'_>) -> Token {
    let mut word = String::from(first);
    while let Some(char) = chars.next_if(|char| is_word(*char)) {
        word.push(char);
    }
    match word.to_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => Token::Word(word),
    }
}
