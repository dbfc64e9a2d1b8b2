//! Request parameters, whether they came as query, form or JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::errors::Refusal;

/// The one parameter that may be repeated (RFC 8707, 2).
const REPEATABLE: &str = "resource";

/// Named parameters, each at most once (RFC 6749, 3.1 and 3.2). Their `Debug` shows names only.
#[derive(Clone, Default)]
pub(crate) struct Params(BTreeMap<String, Vec<String>>);

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Params {
    /// Reads `name=value&…`.
    pub(crate) fn from_form(text: &[u8]) -> Result<Self, Refusal> {
        let mut params = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            params.add(&name, &value)?;
        }
        Ok(params)
    }

    /// Reads a body: JSON when its type says so, a form otherwise.
    pub(crate) fn from_body(content_type: Option<&str>, body: &[u8]) -> Result<Self, Refusal> {
        let json = content_type
            .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"));
        if !json {
            return Self::from_form(body);
        }
        if body.is_empty() {
            return Ok(Self::default());
        }
        let unreadable = |_| Refusal::bad_request("The body is not a JSON object");
        let members: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
        let mut params = Self::default();
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::String(text) => params.add(&name, &text)?,
                other => params.add(&name, &other.to_string())?,
            }
        }
        Ok(params)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let values = self.0.entry(name.to_owned()).or_default();
        if !values.is_empty() && name != REPEATABLE {
            return Err(Refusal::bad_request(format!("The parameter {name} occurs more than once")));
        }
        values.push(value.to_owned());
        Ok(())
    }

    /// These and `more`; a name in both is refused.
    pub(crate) fn and(mut self, more: Self) -> Result<Self, Refusal> {
        for (name, value) in
            more.0.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        {
            self.add(name, value)?;
        }
        Ok(self)
    }

    /// A parameter that is there and not empty (RFC 6749, 3.1: an empty one counts as left out).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// A parameter that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_json_say_the_same() {
        let form = Params::from_body(Some("application/x-www-form-urlencoded"), b"a=1&b=x%20y&c=").unwrap();
        let json =
            Params::from_body(Some("application/json; charset=utf-8"), br#"{"a":"1","b":"x y","c":""}"#)
                .unwrap();
        for params in [form, json] {
            assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), Some("x y"), None));
            assert_eq!(params.need("c").unwrap_err().code(), "E011002");
        }
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert!(Params::from_form(b"a=1&a=2").is_err());
        assert!(Params::from_form(b"a=1").unwrap().and(Params::from_form(b"a=1").unwrap()).is_err());
        assert!(Params::from_body(Some("application/json"), b"[1]").is_err());
        assert_eq!(Params::from_form(b"resource=a&resource=b").unwrap().all("resource"), ["a", "b"]);
    }
}
