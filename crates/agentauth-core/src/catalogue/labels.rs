//! Labels of resources: which of them are confidential, say, whatever is done with them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::scope::Scope;

/// The most labels of one catalogue.
pub const MAX_LABELS: usize = 64;
/// The most resources that bear one label.
pub const MAX_LABELLED: usize = 256;
/// The longest name of a label, in bytes.
const MAX_NAME: usize = 64;

/// An action for the scopes that labelled resources are kept as; no resource has it.
const ANY: &str = "any";

/// Which resources bear which label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, Bearers>);

/// What bears one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bearers {
    resources: Vec<Scope>,
    /// Whether a person's file says so, and not an administrator's.
    own: bool,
}

impl Labels {
    /// The labels of what `scope` reaches into, in order. Who asks for a whole folder reaches into everything below it.
    pub fn of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a str> {
        let reached = move |bearer: &Scope| {
            bearer.resource() == scope.resource() && bearer.context().overlaps(scope.context())
        };
        let bears = move |bearers: &Bearers| bearers.resources.iter().any(reached);
        self.0.iter().filter(move |(_, bearers)| bears(bearers)).map(|(label, _)| label.as_str())
    }

    /// The labels of what everything that `scope` names lies within, in order. Of those that a person added, none: what
    /// rests on a label here is given or spared, and of that only the administrator decides.
    pub fn within<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a str> {
        let lies_within = move |bearer: &Scope| {
            bearer.resource() == scope.resource() && bearer.context().covers(scope.context())
        };
        let bears = move |bearers: &Bearers| !bearers.own && bearers.resources.iter().any(lies_within);
        self.0.iter().filter(move |(_, bearers)| bears(bearers)).map(|(label, _)| label.as_str())
    }

    /// Every label with the resources that bear it (`files:/srv/hr`, `crm`), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let resource = |scope: &Scope| match scope.context_text() {
            "" => scope.resource().to_owned(),
            context => format!("{}:{context}", scope.resource()),
        };
        self.0.iter().map(move |(label, all)| (label.as_str(), all.resources.iter().map(resource).collect()))
    }

    /// Those that a person added, in order.
    pub(super) fn own(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, bearers)| bearers.own).map(|(label, _)| label.as_str())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the resources `labelled` under `label`.
    pub(super) fn insert(&mut self, label: String, labelled: Vec<Scope>) {
        self.0.insert(label, Bearers { resources: labelled, own: false });
    }

    /// Those of an administrator above these: a label that both have is the administrator's.
    pub(super) fn overlaid(&mut self, upper: Self) {
        self.0.extend(upper.0);
    }

    /// Adds a person's own; the names that are taken.
    pub(super) fn extended(&mut self, own: Self) -> Vec<String> {
        let mut taken = Vec::new();
        for (label, bearers) in own.0 {
            match self.0.entry(label) {
                Entry::Vacant(free) => drop(free.insert(Bearers { own: true, ..bearers })),
                Entry::Occupied(there) => taken.push(there.key().clone()),
            }
        }
        taken
    }
}

/// A labelled resource from its text: `resource` or `resource:context`.
pub(super) fn labelled(text: &str) -> Option<Scope> {
    let (resource, context) = text.split_once(':').map_or((text, None), |(left, right)| (left, Some(right)));
    let scope = match context {
        Some(context) => format!("{resource}.{ANY}:{context}"),
        None => format!("{resource}.{ANY}"),
    };
    scope.parse().ok().filter(|scope: &Scope| scope.resource() == resource)
}

/// Whether `name` can name a label: 1 to 64 lower-case letters, digits, `_` and `-`.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;

    fn catalogue(text: &str) -> Catalogue {
        Catalogue::parse(text).unwrap()
    }

    #[test]
    fn who_reaches_into_what_is_labelled_is_told_so() {
        let catalogue = catalogue(
            r#"
            [labels]
            confidential = ["files:/srv/hr", "crm"]
            outside = ["email:domain=example.com"]
            "#,
        );
        for (scope, labels) in [
            ("files.read:/srv/hr/pay", &["confidential"][..]),
            ("files.delete:/srv/hr", &["confidential"]),
            ("files.read:/srv", &["confidential"]),
            ("files.read", &["confidential"]),
            ("files.read:/srv/hr2", &[]),
            ("crm.read:customer=7", &["confidential"]),
            ("email.send:domain=example.com", &["outside"]),
            ("email.send", &["outside"]),
            ("email.send:domain=example.org", &[]),
            ("chat.read", &[]),
        ] {
            let scope = scope.parse().unwrap();
            assert_eq!(catalogue.labels().of(&scope).collect::<Vec<_>>(), labels, "{scope}");
        }
    }

    #[test]
    fn who_lies_within_what_is_labelled_reaches_nothing_else() {
        let catalogue = catalogue(
            r#"
            [labels]
            outside = ["email:domain=example.com", "email:domain=a.*"]
            public = ["files:/srv/public", "crm"]
            "#,
        );
        for (scope, labels) in [
            ("files.read:/srv/public/a", &["public"][..]),
            ("files.read:/srv/public", &["public"]),
            ("files.read:/srv", &[]),
            ("files.read:/", &[]),
            ("files.read", &[]),
            ("crm.read", &["public"]),
            ("crm.read:customer=7", &["public"]),
            ("email.send:domain=example.com,to=u", &["outside"]),
            ("email.send:domain=a.example", &["outside"]),
            ("email.send:domain=*", &[]),
            ("email.send", &[]),
        ] {
            let scope = scope.parse().unwrap();
            assert_eq!(catalogue.labels().within(&scope).collect::<Vec<_>>(), labels, "{scope}");
        }
    }

    #[test]
    fn a_persons_label_spares_nothing() {
        let own = catalogue("[labels]\npublic = [\"files\"]");
        let both = catalogue("[labels]\nours = [\"files:/srv\"]").extended(own).unwrap();
        let scope = "files.read:/srv/a".parse().unwrap();
        assert_eq!(both.labels().of(&scope).collect::<Vec<_>>(), ["ours", "public"]);
        assert_eq!(both.labels().within(&scope).collect::<Vec<_>>(), ["ours"]);
    }

    #[test]
    fn a_person_adds_labels_and_changes_none() {
        let above = catalogue("[labels]\nsecret = [\"files:/srv\"]");
        let own = |text| above.clone().extended(catalogue(text));
        let more = own("[labels]\nmine = [\"files:/home\"]").unwrap();
        let scope = "files.read:/".parse().unwrap();
        assert_eq!(more.labels().of(&scope).collect::<Vec<_>>(), ["mine", "secret"]);
        assert!(own("[labels]\nsecret = []").unwrap_err().0[0].contains("`secret`"));
        let closed = catalogue("closed = true").extended(catalogue("[labels]\nmine = [\"crm\"]"));
        assert!(closed.is_err());
        let replaced = above.overlaid(catalogue("[labels]\nsecret = [\"crm\"]"));
        assert_eq!(replaced.labels().iter().collect::<Vec<_>>(), [("secret", vec!["crm".to_owned()])]);
    }

    #[test]
    fn what_is_no_resource_is_a_fault() {
        for text in [
            "[labels]\nx = [\"files.read:/a\"]",
            "[labels]\nx = [\"files:\"]",
            "[labels]\nx = [\"files:/a/../b\"]",
            "[labels]\nx = \"files\"",
            "[labels]\nx = [1]",
            "[labels]\n\"X Y\" = [\"files\"]",
            "labels = 1",
        ] {
            assert_eq!(Catalogue::parse(text).unwrap_err().0.len(), 1, "{text}");
        }
    }

    #[test]
    fn labels_are_part_of_the_digest() {
        let labelled = catalogue("[labels]\nx = [\"crm\"]");
        assert_ne!(catalogue("").digest(), labelled.digest());
        assert_ne!(catalogue("").extended(labelled.clone()).unwrap().digest(), labelled.digest());
    }
}
