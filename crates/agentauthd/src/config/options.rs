//! The one list of options: name, variables, bounds, and where each goes in [`Config`]. One file a group of sections; an
//! option is one row there.

mod agents;
mod audit;
mod daemon;
mod form;
mod provider;
mod signals;
mod sinks;

use super::value::{Shape, Value, Wrong};
use super::{Config, DEFAULT_PROFILE, places};
use crate::environment::Environment;

/// One option.
pub(super) struct OptionSpec {
    /// `section.key`, or `key` at the top of the file.
    pub(super) key: &'static str,
    /// The environment variables that set it, weakest first.
    pub(super) variables: &'static [&'static str],
    /// How text from a variable or a flag is read.
    pub(super) shape: Shape,
    /// Parses, bounds and stores a value.
    pub(super) set: fn(&mut Config, &Value) -> Result<(), Wrong>,
    /// The value in force. What is not set shows as empty text, which in a file means the same.
    pub(super) show: fn(&Config) -> Value,
}

/// A row of the list: `row!(section.key = FORM, "VARIABLE", …)`, the strongest variable last. An option is stored under
/// its own name, or as said: `row!(section.key in section.part.field = FORM)`.
macro_rules! row {
    ($($name:ident).+ = $form:expr $(, $variable:literal)*) => {
        row!($($name).+ in $($name).+ = $form $(, $variable)*)
    };
    ($first:ident $(. $name:ident)* in $($place:ident).+ = $form:expr $(, $variable:literal)*) => {
        OptionSpec {
            key: concat!(stringify!($first) $(, ".", stringify!($name))*),
            variables: &[$($variable),*],
            shape: super::form::shape_of(&$form),
            set: |config, value| super::form::Form::read(&$form, value).map(|read| config.$($place).+ = read),
            show: |config| super::form::Form::show(&$form, &config.$($place).+),
        }
    };
}
use row;

/// Every option, in the order of `config/agentauthd.toml`.
pub(super) fn all() -> impl Iterator<Item = &'static OptionSpec> {
    [provider::OPTIONS, agents::OPTIONS, sinks::OPTIONS, audit::OPTIONS, signals::OPTIONS, daemon::OPTIONS]
        .into_iter()
        .flatten()
}

/// The option of this name.
pub(super) fn option(key: &str) -> Option<&'static OptionSpec> {
    all().find(|option| option.key == key)
}

/// Whether an option may have this value, written as text.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with the option's name.
pub fn judge(key: &str, text: &str) -> Result<(), String> {
    let option = option(key).ok_or("is not an option")?;
    let environment = Environment::new(0, [("HOME", "/")]);
    let mut scratch = places::defaults(&environment, DEFAULT_PROFILE).ok_or("cannot be judged")?;
    (option.set)(&mut scratch, &option.shape.read(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::VARIABLES;

    #[test]
    fn each_variable_of_an_option_is_listed_and_each_listed_one_sets_an_option() {
        let used: Vec<_> = all().flat_map(|option| option.variables).copied().collect();
        for name in &used {
            assert!(VARIABLES.iter().any(|variable| variable.name == *name), "{name} is not listed");
        }
        for variable in VARIABLES.iter().filter(|variable| variable.meaning.starts_with('`')) {
            let key = variable.meaning.split('`').nth(1).unwrap();
            let option = option(key).unwrap_or_else(|| panic!("{} names no option", variable.name));
            assert!(option.variables.contains(&variable.name), "{} does not set {key}", variable.name);
        }
    }

    #[test]
    fn whoever_sets_variables_leads_nothing_of_what_is_known_elsewhere() {
        let led = all().filter(|option| ["sinks.", "traces."].iter().any(|at| option.key.starts_with(at)));
        assert!(led.inspect(|option| assert!(option.variables.is_empty(), "{}", option.key)).count() > 15);
    }

    #[test]
    fn what_an_option_shows_it_reads_again() {
        let environment = Environment::new(0, [("HOME", "/")]);
        let config = places::defaults(&environment, DEFAULT_PROFILE).unwrap();
        for option in all() {
            let mut other = config.clone();
            (option.set)(&mut other, &(option.show)(&config))
                .unwrap_or_else(|it| panic!("{} {it}", option.key));
            assert_eq!(other, config, "{}", option.key);
        }
    }
}
