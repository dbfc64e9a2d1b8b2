//! What a rule says of scopes: `*`, `files.*`, `files.*:/srv/hr`, `files.read`, `email.send:domain=example.com`.

use std::fmt;
use std::str::FromStr;

use crate::scope::{Scope, ScopeContext, ScopeFault};
use crate::text::display_safe_within;

/// Scopes that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopePattern {
    /// Every scope.
    All,
    /// Every action of a resource (`files`), there.
    Resource(String, ScopeContext),
    /// What this scope names.
    Scope(Scope),
}

/// An action that stands for each of a resource while a pattern is read as a scope: as long as `*`, so that the limits of
/// scopes are those of patterns.
const EACH: &str = "x";

impl ScopePattern {
    /// Where it holds.
    pub(super) fn context(&self) -> &ScopeContext {
        match self {
            Self::All => &ScopeContext::Any,
            Self::Resource(_, context) => context,
            Self::Scope(scope) => scope.context(),
        }
    }

    /// What is acted upon: nothing for whatever.
    pub(super) fn resource(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Resource(resource, _) => Some(resource),
            Self::Scope(scope) => Some(scope.resource()),
        }
    }

    /// The name of the action, or of the group of actions, in policies: nothing for whatever.
    pub(super) fn action(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Resource(resource, _) => Some(format!("{resource}.*")),
            Self::Scope(scope) => Some(scope.action_name().to_owned()),
        }
    }
}

impl FromStr for ScopePattern {
    type Err = ScopeFault;

    fn from_str(text: &str) -> Result<Self, ScopeFault> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (name, context) = match text.split_once(':') {
            Some((name, context)) => (name, Some(context)),
            None => (text, None),
        };
        let Some(resource) = name.strip_suffix(".*") else { return text.parse().map(Self::Scope) };
        let context = context.map_or_else(String::new, |context| format!(":{context}"));
        let scope = format!("{resource}.{EACH}{context}").parse().map_err(|fault| match fault {
            // What is shown is what was written.
            ScopeFault::Shape(_) => ScopeFault::Shape(display_safe_within(text, 100)),
            ScopeFault::Hidden(_) => ScopeFault::Hidden(display_safe_within(text, 100)),
            other => other,
        });
        let scope: Scope = scope?;
        Ok(Self::Resource(scope.resource().to_owned(), scope.context().clone()))
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("*"),
            Self::Scope(scope) => write!(formatter, "{scope}"),
            Self::Resource(resource, ScopeContext::Any) => write!(formatter, "{resource}.*"),
            Self::Resource(resource, ScopeContext::Path(path)) => write!(formatter, "{resource}.*:{path}"),
            Self::Resource(resource, ScopeContext::Pairs(pairs)) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(formatter, "{resource}.*:{}", pairs.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::MAX_SCOPE_BYTES;

    #[test]
    fn patterns_are_scopes_or_stand_for_many() {
        for text in
            ["*", "files.*", "files.*:/srv/hr", "email.*:domain=a.example", "files.read", "files.read:/a"]
        {
            assert_eq!(text.parse::<ScopePattern>().unwrap().to_string(), text);
        }
        let canonical = "files.*:/a/./b".parse::<ScopePattern>().unwrap();
        assert_eq!(canonical.to_string(), "files.*:/a/b");
        for text in [
            "",
            "files",
            "*.read",
            "*:/a",
            "files.**",
            ".*",
            "Files.*",
            "files.*:",
            "files.*:/..",
            "files.re*",
        ] {
            assert!(text.parse::<ScopePattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn faults_are_of_the_text_that_was_written() {
        for text in ["a.b.*", ".*", "a\u{202e}.*"] {
            let fault = text.parse::<ScopePattern>().unwrap_err().to_string();
            let shown = display_safe_within(text, 100);
            assert!(fault.contains(&format!("`{shown}`")), "{fault}");
        }
        let long = |bytes: usize| format!("files.*:/{}", "a".repeat(bytes - "files.*:/".len()));
        assert!(long(MAX_SCOPE_BYTES).parse::<ScopePattern>().is_ok());
        let fault = long(MAX_SCOPE_BYTES + 1).parse::<ScopePattern>();
        assert_eq!(fault, Err(ScopeFault::TooLong(MAX_SCOPE_BYTES + 1)));
    }
}
