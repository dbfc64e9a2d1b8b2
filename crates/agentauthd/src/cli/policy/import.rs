//! `agentauthd policy import`: an organisation's rules from JSON, as Cedar.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agentauth_core::policy::{Place, Policy, PolicyFault, PolicyFaults, PolicyFile};
use agentauth_core::template::{
    MAX_TEMPLATE_BYTES, Template, TemplateFault, TemplateFaultCode, TemplateFaults,
};
use agentauth_core::text::display_safe_within;
use clap::Args;
use serde::Serialize;

use super::super::agent::manifest_file::CatalogueChoice;
use super::super::output::{self, BAD, GOOD, WARN};
use super::super::{Context, Exit, Failure};
use super::choice::tell_note;
use crate::config::ADMIN_DIRECTORY;
use crate::daemon::rulebook::{Draft, Rulebook, read_bounded};

/// At most this many characters of a line are shown.
const SHOWN: usize = 1024;
/// The mode of a new file: every user's daemon reads the administrator's policies.
const NEW_MODE: u32 = 0o644;

/// Turn a policy template into Cedar. Needs no daemon.
///
/// What comes of it is looked at together with all policies of this machine, as a file of the administrator's; one of
/// the same name there counts as the one that it replaces. Exits with 1 where anything is wrong, and writes nothing then.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The template, a JSON file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the policies to this file, and not to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long, requires = "output")]
    force: bool,
    /// Write nothing, and only say whether all is well; with `--output`, also whether that file is what the template comes
    /// to.
    #[arg(long, conflicts_with = "force")]
    check: bool,
    #[command(flatten)]
    catalogue: CatalogueChoice,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    /// The template's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<String>,
    /// SHA-256 of the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    rules: usize,
    /// The names of the policies that it comes to.
    policies: Vec<String>,
    /// The policies, where they could be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    cedar: Option<String>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

/// One thing that is wrong with the template, or with what came of it.
#[derive(Debug, Default, Serialize)]
struct Fault {
    /// The template; or the policy file, where it is about that.
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// Where in the template: a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// What kind of fault a template has.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<TemplateFaultCode>,
    what: String,
    #[serde(skip)]
    excerpt: Vec<String>,
}

impl Import {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut report = Report { file: shown(&self.file), ..Report::default() };
        let json = self.read().map_err(|error| {
            Failure::caused(format!("could not read the template `{}`; give its path", report.file), error)
        })?;
        if self.output.as_deref().is_some_and(|output| is_same_file(&self.file, output)) {
            return Err(Failure::Told(format!(
                "`{}` is the template itself, and nothing was written; name another file",
                report.file
            )));
        }
        match Template::parse(&json) {
            Ok(template) => self.compile(context, &template, &mut report)?,
            Err(TemplateFaults(faults)) => {
                let file = report.file.clone();
                report.faults.extend(faults.into_iter().map(|fault| Fault::of_template(&file, fault)));
            }
        }
        let failed = !report.faults.is_empty();
        if !failed && let (Some(path), Some(cedar)) = (&self.output, &report.cedar) {
            if self.check {
                report.faults.extend(self.differs(path, cedar));
            } else {
                self.write(path, cedar)?;
            }
        }
        self.tell(&report)?;
        Ok(if report.faults.is_empty() { Exit::Done } else { Exit::Error })
    }

    /// The template; of one that is too long no more than shows it.
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut json = Vec::new();
        File::open(&self.file)?.take(MAX_TEMPLATE_BYTES as u64 + 1).read_to_end(&mut json)?;
        Ok(json)
    }

    /// Makes the policies, and looks at them beside all others.
    fn compile(
        &self,
        context: &Context<'_>,
        template: &Template,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let cedar = template.to_cedar(&self.name());
        report.policy_id = Some(template.id.clone());
        report.sha256 = Some(template.digest.clone());
        report.rules = template.rules.len();
        report.policies = template.policy_ids();
        let catalogue = self.catalogue.load(context)?;
        let mut rulebook =
            Rulebook::read(&context.loaded, context.environment.uid(), catalogue, &Draft::None);
        rulebook.notes.iter().for_each(|note| tell_note(context, note));
        let replaced = Path::new(ADMIN_DIRECTORY).join("policies").join(self.target_name());
        rulebook.files.retain(|file| file.own || Path::new(&file.name) != replaced);
        rulebook.unusable.retain(|fault| Path::new(&fault.file) != replaced);
        let target = self.target();
        let file = PolicyFile { name: target.clone(), text: cedar.clone(), own: false };
        // A person's own files stand behind all others.
        let place = rulebook.files.iter().position(|file| file.own).unwrap_or(rulebook.files.len());
        rulebook.files.insert(place, file);
        match rulebook.load([]) {
            Ok(policy) => report.warnings.extend(warnings(&policy, &target)),
            Err(PolicyFaults(faults)) => {
                report.faults.extend(
                    faults.into_iter().map(|fault| Fault::of_policy(&report.file, template, &target, fault)),
                );
            }
        }
        report.cedar = Some(cedar);
        Ok(())
    }

    /// What the template is called in what comes of it: the same wherever it lies.
    fn name(&self) -> String {
        self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned()
    }

    /// What the policies are called among the others.
    fn target(&self) -> String {
        match &self.output {
            Some(path) => shown(path),
            None => shown(Path::new(&self.target_name())),
        }
    }

    /// How their file is called, wherever it lies.
    fn target_name(&self) -> OsString {
        let given = self.output.as_deref().and_then(Path::file_name).map(OsString::from);
        given.unwrap_or_else(|| {
            Path::new(self.file.file_name().unwrap_or_default()).with_extension("cedar").into_os_string()
        })
    }

    /// Whether the file is not what it should be.
    fn differs(&self, path: &Path, cedar: &str) -> Option<Fault> {
        let what = match read_bounded(path, agentauth_core::policy::MAX_POLICY_BYTES + 1) {
            Ok(text) if text == cedar => return None,
            Ok(_) => {
                format!("it is not what `{}` comes to: import that anew, with `--force`", shown(&self.file))
            }
            Err(error) => format!("it cannot be read: {error}"),
        };
        Some(Fault { file: shown(path), what, ..Fault::default() })
    }

    fn write(&self, path: &Path, cedar: &str) -> Result<(), Failure> {
        let there = fs::symlink_metadata(path).ok();
        let written = match there {
            // Else a device, or a link to somewhere else, would be replaced by a file.
            Some(there) if self.force && !there.is_file() => {
                return Err(Failure::Told(format!(
                    "`{}` is no plain file, and nothing was written; name another one",
                    shown(path)
                )));
            }
            Some(there) if self.force => {
                agentauth_store::write_atomic(path, cedar.as_bytes(), there.permissions().mode())
            }
            _ => agentauth_store::write_new(path, cedar.as_bytes(), NEW_MODE),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::Told(format!(
                "`{}` is there already, and nothing was written; name another file, or write over it with `--force`",
                shown(path)
            )),
            _ => Failure::caused(format!("could not write `{}`", shown(path)), error),
        })
    }

    fn tell(&self, report: &Report) -> Result<(), Failure> {
        if self.json {
            return output::json(report);
        }
        for fault in &report.faults {
            output::say(&format!("{BAD}error:{BAD:#} {}", display_safe_within(&fault.line(), SHOWN)));
            for line in &fault.excerpt {
                output::say(&format!("       {}", display_safe_within(line, SHOWN)));
            }
        }
        for warning in &report.warnings {
            output::say(&format!("{WARN}note:{WARN:#} {}", display_safe_within(warning, SHOWN)));
        }
        let Some(cedar) = report.cedar.as_ref().filter(|_| report.faults.is_empty()) else { return Ok(()) };
        let (rules, policies) = (report.rules, report.policies.len());
        match (&self.output, self.check) {
            (None, false) => output::raw(cedar),
            (None, true) => output::data(&format!(
                "{}: {GOOD}fine{GOOD:#}, {rules} rules as {policies} policies",
                report.file
            )),
            (Some(path), true) => output::data(&format!(
                "{}: {GOOD}fine{GOOD:#}, {rules} rules as {policies} policies, which are those in {}",
                report.file,
                shown(path)
            )),
            (Some(path), false) => output::data(&format!(
                "{}: {rules} rules, written as {policies} policies to {}",
                report.file,
                shown(path)
            )),
        }
    }
}

impl Fault {
    fn of_template(file: &str, fault: TemplateFault) -> Self {
        let excerpt = fault.excerpt();
        let what = fault.to_string();
        Self::at(file, fault.place, what, excerpt, Some(fault.path), Some(fault.code))
    }

    /// Of a policy. `target`: how the file is called that came of the template.
    fn of_policy(template_file: &str, template: &Template, target: &str, fault: PolicyFault) -> Self {
        let excerpt = fault.excerpt();
        let named = fault.policy.as_deref().filter(|_| fault.file == target);
        let rule = named.and_then(|id| template.rule_of(id));
        let policy = fault.policy.as_deref().map_or_else(String::new, |policy| format!("`{policy}`: "));
        let from = rule.map_or_else(String::new, |(position, _)| {
            format!(" (that is `/rules/{position}` of {template_file})")
        });
        let path = rule.map(|(position, _)| format!("/rules/{position}"));
        let what = format!("{policy}{}{from}", fault.what);
        Self::at(&fault.file, fault.place, what, excerpt, path, None)
    }

    fn at(
        file: &str,
        place: Option<Place>,
        what: String,
        excerpt: Vec<String>,
        path: Option<String>,
        code: Option<TemplateFaultCode>,
    ) -> Self {
        let (line, column) = place.map(|place| (place.line, place.column)).unzip();
        Self { file: file.to_owned(), line, column, path, code, what, excerpt }
    }

    fn line(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}: {}", self.file, self.what),
            _ => format!("{}: {}", self.file, self.what),
        }
    }
}

/// What Cedar thinks is odd about the policies of this file.
fn warnings(policy: &Policy, target: &str) -> Vec<String> {
    let of_target = |warning: &&String| warning.starts_with(&format!("{target}: "));
    policy.warnings().iter().filter(of_target).cloned().collect()
}

/// Whether both paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|file| identity(other) == Some(file))
}

fn shown(path: &Path) -> String {
    display_safe_within(&path.display().to_string(), 200)
}
