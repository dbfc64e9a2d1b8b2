//! The form of a sign-in page, read from its HTML: just enough of a browser to fill it in.

/// A form and what it would submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Where it goes; empty for the page's own address.
    pub action: String,
    /// Names and values of its fields, hidden ones included.
    pub fields: Vec<Field>,
}

/// A field of a form, or a button that submits it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// `type`, in lower case; `button` elements are of type `submit`.
    pub kind: String,
    /// `name`.
    pub name: String,
    /// `value`.
    pub value: String,
}

impl Form {
    /// The forms of a page.
    #[must_use]
    pub fn all_of(html: &str) -> Vec<Self> {
        let mut forms: Vec<Self> = Vec::new();
        let mut inside = false;
        for tag in tags(html) {
            match tag.name.as_str() {
                "form" => {
                    forms.push(Self { action: tag.attribute("action"), fields: Vec::new() });
                    inside = true;
                }
                "/form" => inside = false,
                "input" | "button" if inside => {
                    let kind = match (tag.name.as_str(), tag.attribute("type").to_ascii_lowercase()) {
                        ("button", kind) if kind.is_empty() => "submit".to_owned(),
                        (_, kind) if kind.is_empty() => "text".to_owned(),
                        (_, kind) => kind,
                    };
                    if let Some(form) = forms.last_mut() {
                        form.fields.push(Field {
                            kind,
                            name: tag.attribute("name"),
                            value: tag.attribute("value"),
                        });
                    }
                }
                _ => {}
            }
        }
        forms
    }

    /// Whether the form asks for a password.
    #[must_use]
    pub fn asks_for_password(&self) -> bool {
        self.fields.iter().any(|field| field.kind == "password")
    }

    /// What the form submits when `login` and `password` were typed in and its first button pressed.
    #[must_use]
    pub fn filled_in(&self, login: &str, password: &str) -> Vec<(String, String)> {
        let mut pressed = false;
        let mut named = Vec::new();
        for field in &self.fields {
            let value = match field.kind.as_str() {
                "password" => password,
                "email" | "text" | "username" => login,
                "submit" if pressed => continue,
                "submit" => {
                    pressed = true;
                    &field.value
                }
                _ => &field.value,
            };
            if !field.name.is_empty() {
                named.push((field.name.clone(), value.to_owned()));
            }
        }
        named
    }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> String {
        self.attributes
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }
}

/// The tags of a page, in order.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let (name, mut inside) = split_at_first(after, |letter| letter.is_whitespace() || letter == '>');
        let mut tag = Tag { name: name.to_ascii_lowercase(), attributes: Vec::new() };
        loop {
            inside = inside.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
            if inside.is_empty() || inside.starts_with('>') {
                break;
            }
            let (name, after) =
                split_at_first(inside, |letter| letter.is_whitespace() || matches!(letter, '=' | '>'));
            let (value, after) = attribute_value(after);
            if name.is_empty() && after == inside {
                break;
            }
            tag.attributes.push((name.to_ascii_lowercase(), unescaped(value)));
            inside = after;
        }
        tags.push(tag);
        rest = inside;
    }
    tags
}

/// The value after an attribute's name, and what follows it.
fn attribute_value(after_name: &str) -> (&str, &str) {
    let Some(value) = after_name.trim_start().strip_prefix('=') else { return ("", after_name) };
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    split_at_first(value, |letter| letter.is_whitespace() || letter == '>')
}

fn split_at_first(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, letter) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        text = text.replace(entity, letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<!DOCTYPE html><html><body><p class=x>Sign in & go</p>
        <form method="post" action="/sign-in?a=1&amp;b=2"><input type="hidden" name="handle" value="h&quot;1">
        <label>E-mail <input type=email name='email' required></label>
        <input type="password" name="password"/><button name="do" value="in">Sign in</button>
        <button type="submit" name="do" value="cancel">Cancel</button></form>
        <form><input name="outside"></form><input name="lost"></body></html>"#;

    #[test]
    fn the_form_is_found_and_filled_in() {
        let forms = Form::all_of(PAGE);
        assert_eq!(forms.len(), 2);
        assert_eq!(forms[0].action, "/sign-in?a=1&b=2");
        assert!(forms[0].asks_for_password());
        assert!(!forms[1].asks_for_password());
        let sent = forms[0].filled_in("a@b.test", "pw");
        let sent: Vec<(&str, &str)> =
            sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(sent, [("handle", "h\"1"), ("email", "a@b.test"), ("password", "pw"), ("do", "in")]);
    }

    #[test]
    fn broken_pages_end() {
        for broken in
            ["<", "<form", "<form action", "<form action=", "<form action=\"x", "<form =", "<a ==>", "< >"]
        {
            let _ = Form::all_of(broken);
        }
    }
}
