//! Catalogues over each other: who may say what of an action.

use std::collections::btree_map;

use super::{Catalogue, CatalogueFault};

impl Catalogue {
    /// This catalogue with the entries of an administrator's above its own: whatever those say counts.
    #[must_use]
    pub fn overlaid(mut self, upper: Self) -> Self {
        self.actions.extend(upper.actions);
        self.labels.overlaid(upper.labels);
        self.closed |= upper.closed;
        self
    }

    /// This catalogue with a person's own entries below it. They may describe actions that nobody described yet, and be
    /// stricter with the others: no entry gets a lower risk, a weaker strength or a longer lifetime than it has, nor
    /// other words or contexts. They may add labels, and change none; see [`Labels::within`](super::Labels::within).
    ///
    /// # Errors
    /// Every entry that would be milder, at once; everything, where the catalogue is closed.
    pub fn extended(mut self, own: Self) -> Result<Self, CatalogueFault> {
        let mut faults = Vec::new();
        if self.closed && !(own.actions.is_empty() && own.labels.is_empty()) {
            faults.push("the administrator closed the catalogue: nobody else may add to it".to_owned());
        }
        let taken = self.labels.extended(own.labels);
        faults.extend(
            taken.iter().map(|label| format!("the label `{label}` is there already: use another name")),
        );
        for (name, entry) in own.actions {
            match self.actions.entry(name) {
                btree_map::Entry::Vacant(free) => drop(free.insert(entry)),
                btree_map::Entry::Occupied(mut taken) => {
                    let (name, above) = (taken.key(), taken.get());
                    let mut milder =
                        |what: &str, own: &dyn std::fmt::Display, above: &dyn std::fmt::Display| {
                            faults.push(format!(
                                "`{name}`: `{what}` is `{own}`, and may not be milder than `{above}`"
                            ));
                        };
                    if entry.risk < above.risk {
                        milder("risk", &entry.risk, &above.risk);
                    }
                    if entry.strength < above.strength {
                        milder("strength", &entry.strength, &above.strength);
                    }
                    if !entry.lifetime.is_within(above.lifetime) {
                        milder("lifetime", &entry.lifetime, &above.lifetime);
                    }
                    if entry.says != above.says {
                        faults.push(format!("`{name}`: `says` has to stay `{}`", above.says));
                    }
                    if (entry.path, &entry.keys) != (above.path, &above.keys) {
                        let keys = above.keys.join("\", \"");
                        let keys = if keys.is_empty() { String::new() } else { format!("\"{keys}\"") };
                        faults.push(format!(
                            "`{name}`: `path` has to stay `{}`, and `keys` `[{keys}]`",
                            above.path
                        ));
                    }
                    taken.insert(entry);
                }
            }
        }
        if faults.is_empty() { Ok(self) } else { Err(CatalogueFault(faults)) }
    }
}
