//! Little parsers of CEF and RFC 5424, written from the formats and not from what writes them.

use std::collections::BTreeMap;

/// A parsed line of CEF.
pub(crate) struct Cef {
    /// Vendor, product, version, class, name, severity.
    pub(crate) header: Vec<String>,
    pub(crate) extension: BTreeMap<String, String>,
}

impl Cef {
    pub(crate) fn parse(line: &str) -> Option<Cef> {
        let mut rest = line.strip_prefix("CEF:0|")?.chars();
        let mut header = Vec::new();
        let mut field = String::new();
        while header.len() < 6 {
            match rest.next()? {
                '\\' => match rest.next()? {
                    c @ ('|' | '\\') => field.push(c),
                    _ => return None,
                },
                '|' => header.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
        }
        Some(Cef { header, extension: extension(rest.as_str())? })
    }

    pub(crate) fn get(&self, key: &str) -> String {
        self.extension.get(key).cloned().unwrap_or_default()
    }
}

/// A value ends where a space, a word and an unescaped `=` follow.
fn extension(text: &str) -> Option<BTreeMap<String, String>> {
    let mut equals = Vec::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' => equals.push(at),
            _ => {}
        }
    }
    let key_start = |at: usize| text[..at].rfind(' ').map_or(0, |space| space + 1);
    let mut pairs = BTreeMap::new();
    for (place, &at) in equals.iter().enumerate() {
        let key = &text[key_start(at)..at];
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let end = equals.get(place + 1).map_or(text.len(), |&next| key_start(next) - 1);
        if pairs.insert(key.to_owned(), unescaped(&text[at + 1..end])?).is_some() {
            return None;
        }
    }
    Some(pairs)
}

fn unescaped(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                c @ ('=' | '\\') => c,
                _ => return None,
            }),
            '\n' | '\r' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// A parsed message of RFC 5424 with at most one element of structured data.
pub(crate) struct Syslog {
    pub(crate) priority: u16,
    pub(crate) time: String,
    /// Host, application, process, message id.
    pub(crate) header: Vec<String>,
    pub(crate) data_id: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) message: String,
}

impl Syslog {
    pub(crate) fn parse(text: &str) -> Option<Syslog> {
        let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
        let mut rest = rest.strip_prefix("1 ")?;
        let mut words = Vec::new();
        for limit in [32, 255, 48, 128, 32] {
            let (word, after) = rest.split_once(' ')?;
            if word.is_empty() || word.len() > limit || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            words.push(word.to_owned());
            rest = after;
        }
        let (data_id, parameters, rest) = structured(rest)?;
        let time = words.remove(0);
        Some(Syslog {
            priority: priority.parse().ok().filter(|priority| *priority < 192)?,
            time,
            header: words,
            data_id,
            parameters,
            message: rest.strip_prefix(' ').unwrap_or(rest).to_owned(),
        })
    }
}

fn structured(text: &str) -> Option<(String, BTreeMap<String, String>, &str)> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some((String::new(), BTreeMap::new(), rest));
    }
    let text = text.strip_prefix('[')?;
    let end = text.find([' ', ']'])?;
    let (id, mut rest) = text.split_at(end);
    let mut parameters = BTreeMap::new();
    while let Some(after) = rest.strip_prefix(' ') {
        let (name, after) = after.split_once("=\"")?;
        if name.len() > 32 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let mut value = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next()? {
                '"' => break,
                ']' => return None,
                '\\' => match characters.next()? {
                    c @ ('"' | '\\' | ']') => value.push(c),
                    // A backslash before anything else stands for itself.
                    c => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        parameters.insert(name.to_owned(), value);
        rest = characters.as_str();
    }
    Some((id.to_owned(), parameters, rest.strip_prefix(']')?))
}
