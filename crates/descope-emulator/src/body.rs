//! JSON request bodies: an object, or nothing at all.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use crate::errors::Refusal;

/// The members of a body. Clients send `null` for what they do not mean, so that counts as left out.
#[derive(Clone, Default)]
pub(crate) struct Body(Map<String, Value>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        Self::parse(&bytes.map_err(|_| Refusal::bad_request("The body cannot be read"))?)
    }
}

impl From<Map<String, Value>> for Body {
    fn from(members: Map<String, Value>) -> Self {
        Self(members.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }
}

impl Body {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => Ok(members.into()),
            Ok(Value::Null) => Ok(Self::default()),
            _ => Err(Refusal::bad_request("The body is not a JSON object")),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A string that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A string that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::missing(name))
    }

    /// The strings of a list; none where there is no list.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// The members of a list of objects.
    pub(crate) fn objects(&self, name: &str) -> Vec<Self> {
        self.list(name).iter().filter_map(Value::as_object).cloned().map(Self::from).collect()
    }

    /// A member object; an empty one where there is none.
    pub(crate) fn object(&self, name: &str) -> Self {
        self.get(name).and_then(Value::as_object).cloned().map(Self::from).unwrap_or_default()
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// A whole number, which some clients write as a string.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(name)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    fn list(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_defensively() {
        let body =
            Body::parse(br#"{"a":"x","b":null,"c":["y",1],"d":{"e":"z"},"f":"","g":"12","h":[{"i":1},2]}"#)
                .unwrap();
        assert_eq!((body.text("a"), body.text("b"), body.text("f")), (Some("x"), None, None));
        assert_eq!((body.texts("c"), body.texts("a")), (vec!["y".to_owned()], Vec::new()));
        assert_eq!((body.object("d").text("e"), body.object("a").text("e")), (Some("z"), None));
        assert_eq!((body.number("g"), body.number("a"), body.objects("h").len()), (Some(12), None, 1));
        assert_eq!(body.need("b").unwrap_err().code(), "E011002");
        assert!(Body::parse(b"").unwrap().members().is_empty());
        assert_eq!(Body::parse(b"[1]").unwrap_err().code(), "E011001");
    }
}
