//! What an examination finds: a closed list of codes, each with its area and why it matters.

use agentauth_core::text::display_safe_within;
use serde::{Serialize, Serializer};

/// At most this many characters of one text are kept.
const SHOWN: usize = 1024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing needs to be done.
    Note,
    /// It works, and should be better.
    Warning,
    /// Something does not work, or is not safe.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a finding is about. Findings are reported in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Files, variables and flags.
    Configuration,
    /// Reaching the provider, and what it says of itself.
    Provider,
    /// What the provider does with our authorization requests.
    Authorization,
    /// The ports for the browser to come back to.
    Ports,
    /// Where the refresh token is kept.
    Secrets,
    /// Directories and files on disk.
    Files,
    /// The running daemon.
    Daemon,
    /// The login, and what it shows of the provider's settings.
    Session,
    /// Registered agents and policies.
    Agents,
    /// One action that is allowed and one that is not.
    Trial,
}

impl Area {
    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Provider => "Provider",
            Self::Authorization => "Sign-in",
            Self::Ports => "Ports",
            Self::Secrets => "Secrets",
            Self::Files => "Files",
            Self::Daemon => "Daemon",
            Self::Session => "Login",
            Self::Agents => "Agents and policies",
            Self::Trial => "Trial",
        }
    }
}

macro_rules! codes {
    ($($area:ident { $($name:ident = $word:literal: $why:literal,)* })*) => {
        /// What was found. The words are stable: scripts and the documentation go by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $why] $name,)*)*
        }

        impl Code {
            /// Every code, in the order of the areas.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// The stable word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$name => $word,)*)* }
            }

            /// What it is about.
            #[must_use]
            pub fn area(self) -> Area {
                match self { $($(Self::$name => Area::$area,)*)* }
            }

            /// Why it matters.
            #[must_use]
            pub fn why(self) -> &'static str {
                match self { $($(Self::$name => $why,)*)* }
            }
        }
    };
}

codes! {
    Configuration {
        ConfigurationRead = "configuration_read": "What is in force comes from these places, lowest layer first.",
        ConfigurationFault = "configuration_fault": "With a fault in its configuration the daemon does not start, and no command runs.",
        ConfigurationPartial = "configuration_partial": "Without the whole file nobody knows which provider, ports and secret store are meant.",
        ConfigurationNote = "configuration_note": "It is not wrong, and may not be what was meant.",
        ConfigurationOverridden = "configuration_overridden": "A value that another layer overrides has no effect, which surprises whoever edits it.",
        OfflineAccessMissing = "offline_access_missing": "Without the scope `offline_access` the provider need not give a refresh token, and without one no login is kept.",
        CredentialInEnvironment = "credential_in_environment": "Every program started from here inherits it, agents included, and it gives power over the whole project. agentauthd never needs it.",
        SecretInFile = "secret_in_file": "Whoever can read the file has the secret: every program of yours, backups, and a repository that it is committed to.",
        PassphraseExposed = "passphrase_exposed": "Whoever reads the passphrase can decrypt the stored login.",
    }
    Provider {
        ProjectMissing = "project_missing": "Without a provider nobody can log in, so everything is denied.",
        RegionMismatch = "region_mismatch": "A project lives in one region. At another region's address it does not exist, and a login fails with `E011008`.",
        ProviderSkipped = "provider_skipped": "Without asking the provider, nothing can be said about it, the sign-in and the clock.",
        ProviderDescribed = "provider_described": "The provider is reached, is the one that is meant, and offers what a login needs.",
        ProviderNameUnresolved = "provider_name_unresolved": "Without the provider there is no login and no refresh.",
        ProviderUnreachable = "provider_unreachable": "Without the provider there is no login and no refresh.",
        ProviderTls = "provider_tls": "Without a trusted connection nothing is sent: whoever stands in between could take the login.",
        ProviderProxy = "provider_proxy": "Without the provider there is no login and no refresh.",
        ProviderSlow = "provider_slow": "A login and each refresh wait for the provider, and a session that is not refreshed in time ends.",
        ProviderOutOfOrder = "provider_out_of_order": "While the provider does not answer properly there is no login and no refresh.",
        ProjectUnknown = "project_unknown": "A project that the provider does not know has nobody who could log in.",
        IssuerUnknown = "issuer_unknown": "An issuer that does not describe itself cannot be used, since nothing else says where to log in and which keys are good.",
        IssuerMismatch = "issuer_mismatch": "Tokens name their issuer. If it is not the expected one they are refused, as tokens of another provider would be.",
        DescriptionUnusable = "description_unusable": "A login begins with what the provider says of itself.",
        PkceMissing = "pkce_missing": "Without PKCE and S256 another program on this machine could redeem an intercepted code.",
        KeysUsable = "keys_usable": "Session tokens are verified with these keys.",
        KeysUnusable = "keys_unusable": "Without the provider's keys no token can be verified, so everything is denied.",
        ClockAgrees = "clock_agrees": "Tokens say from when until when they are good.",
        ClockSkew = "clock_skew": "With clocks apart, fresh tokens look as if they came from the future, or have ended already.",
    }
    Authorization {
        RedirectAccepted = "redirect_accepted": "The browser can come back here after the sign-in.",
        RedirectRejected = "redirect_rejected": "The provider only sends the browser back to registered redirect URLs, compared letter by letter. A login ends on its error page.",
        RedirectLocalhost = "redirect_localhost": "`localhost` and `127.0.0.1` are different redirect URLs. agentauthd only uses the number, because the name may lead elsewhere (RFC 8252, section 8.3).",
        ClientRejected = "client_rejected": "The provider does not know the client that asks, so no login begins.",
        FlowRejected = "flow_rejected": "The provider has no such sign-in flow, so no login begins.",
        ScopeRejected = "scope_rejected": "The provider refuses one of the scopes that are asked for, so no login begins.",
        TenantRejected = "tenant_rejected": "The provider has no such tenant, so no login begins.",
        AudienceRejected = "audience_rejected": "The provider knows no such audience or resource, so no login begins.",
        AuthorizationRefused = "authorization_refused": "The provider refuses the request that a login begins with.",
        AuthorizationUnjudged = "authorization_unjudged": "It is not known whether the provider accepts what a login begins with.",
        AnyPortRejected = "any_port_rejected": "With `login.ephemeral_port` the browser may come back to any port, and a provider that compares ports refuses all that are not registered.",
        RedirectsUnvalidated = "redirects_unvalidated": "A provider that sends codes to any address makes it easy to steal a login by a crafted link.",
    }
    Ports {
        PortsFree = "ports_free": "The browser comes back to one of these ports.",
        PortTaken = "port_taken": "The browser cannot come back to a port that another program holds.",
        LoopbackUnusable = "loopback_unusable": "The browser comes back to this machine's own loopback address.",
    }
    Secrets {
        SecretStoreUsable = "secret_store_usable": "The refresh token is kept here.",
        KeychainLocked = "keychain_locked": "A locked keychain can neither keep a login nor give it back after a restart.",
        KeychainAbsent = "keychain_absent": "Without a keychain no login can be kept, so a login is refused.",
        SecretStoreFailing = "secret_store_failing": "A login that cannot be stored is refused, and a rotated one is lost with the daemon.",
        SecretStoreUnproven = "secret_store_unproven": "Only the daemon opens the encrypted file, since that takes its passphrase.",
        SecretsForgotten = "secrets_forgotten": "With `secrets.store = \"memory\"` each start of the daemon needs a new login.",
    }
    Files {
        FilesPrivate = "files_private": "Nobody else can read or replace what agentauthd keeps.",
        DirectoryExposed = "directory_exposed": "Whoever can enter or replace the directory can pose as the daemon, or read and change what it keeps.",
        SocketExposed = "socket_exposed": "Only its owner should reach the socket.",
        StateUnwritable = "state_unwritable": "The daemon cannot start without a place for its state.",
        RecordUnwritable = "record_unwritable": "What cannot be recorded is denied.",
    }
    Daemon {
        DaemonRuns = "daemon_runs": "Agents can ask it.",
        DaemonAbsent = "daemon_absent": "Without the daemon no agent gets an answer, and nothing is refreshed.",
        DaemonElsewhere = "daemon_elsewhere": "Agents and commands that look for the socket here do not find the daemon.",
        DaemonTwice = "daemon_twice": "Two daemons of one profile fight over one login: with rotation, the one that refreshes second ends it.",
        DaemonUntrusted = "daemon_untrusted": "Somebody else may be listening in the daemon's place.",
        DaemonSilent = "daemon_silent": "An agent that gets no answer may not act.",
        DaemonOtherVersion = "daemon_other_version": "An old daemon goes on with the old rules until it is restarted.",
        DaemonOtherConfiguration = "daemon_other_configuration": "The daemon goes by the configuration that was applied when it started.",
        DaemonPaused = "daemon_paused": "While everything is paused, everything is denied.",
        DaemonProblem = "daemon_problem": "The daemon itself reports it.",
        SocketStale = "socket_stale": "A daemon that was killed left it behind; the next one replaces it.",
        CredentialInDaemon = "credential_in_daemon": "A credential in the daemon's environment gives power over the whole project, and serves nothing there.",
        HardeningMissing = "hardening_missing": "What keeps the daemon's memory and files private is not in force.",
    }
    Session {
        LoggedIn = "logged_in": "Decisions are made for this user.",
        NotLoggedIn = "not_logged_in": "While nobody is logged in, everything is denied.",
        LoginOver = "login_over": "While nobody is logged in, everything is denied.",
        LoginFailed = "login_failed": "The newest attempt to log in came to nothing.",
        SessionUnverified = "session_unverified": "Until the provider has confirmed the login, everything is denied.",
        RotationOn = "rotation_on": "A stolen refresh token is worth nothing after the next refresh.",
        RotationOff = "rotation_off": "A refresh token that never changes can be used beside yours until it expires, and nobody notices.",
        RotationUnknown = "rotation_unknown": "Only a refresh shows whether the provider rotates refresh tokens.",
        TokenLifetimes = "token_lifetimes": "Short-lived tokens are worth little to a thief.",
        SessionTokenLong = "session_token_long": "A session token cannot be taken back: a stolen one is good until it expires, and changed roles take effect only then.",
        RefreshTokenLong = "refresh_token_long": "A stolen refresh token is good for that long, also after somebody left.",
        SessionInactivity = "session_inactivity": "The daemon's refreshes count as activity, so a session that is meant to end when the user is idle does not.",
        TenantNotSelected = "tenant_not_selected": "Roles that are given inside a tenant count only where that tenant is selected, so that checks are denied with `role_required`.",
        TenantForeign = "tenant_foreign": "In a tenant that the user does not belong to they have no roles at all.",
        ClaimsOdd = "claims_odd": "A claim that is not as it should be counts as absent, so rights may be missing.",
    }
    Agents {
        AgentsRegistered = "agents_registered": "Only registered programs are allowed anything.",
        AgentsNone = "agents_none": "Only registered programs are allowed anything, and there is none.",
        AgentRefused = "agent_refused": "An agent whose registration does not count gets nothing.",
        AgentMissing = "agent_missing": "A program that is not there is never recognised.",
        AgentChanged = "agent_changed": "A program that is not the registered one any more is denied with `agent_changed`.",
        AgentUnmatchable = "agent_unmatchable": "The kernel reports paths with links resolved, so this selector never matches.",
        AgentLint = "agent_lint": "A careful reader would ask about it.",
        PolicyFault = "policy_fault": "A policy that is left out could have forbidden something, so without it nothing is decided.",
    }
    Trial {
        TrialAllowed = "trial_allowed": "Something that should work does.",
        TrialRoleDenied = "trial_role_denied": "Something that the user has no role for is refused for that reason.",
        TrialUnexpected = "trial_unexpected": "The rules do not say what you expect of them.",
        TrialNothingAllowed = "trial_nothing_allowed": "An installation that allows nothing has not been shown to work.",
        TrialNothingDenied = "trial_nothing_denied": "Roles have been tested only when somebody without the role was refused.",
        TrialNotPermitted = "trial_not_permitted": "Trying decisions for an agent takes a person at a terminal, so that no program can explore the rules.",
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that was found. Its texts are safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable code.
    pub id: Code,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do; empty where nothing needs to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(id: Code, what: impl AsRef<str>) -> Self {
        Self::new(id, Severity::Ok, what.as_ref(), "")
    }

    /// Worth knowing.
    pub(super) fn note(id: Code, what: impl AsRef<str>, todo: impl AsRef<str>) -> Self {
        Self::new(id, Severity::Note, what.as_ref(), todo.as_ref())
    }

    /// Should be better.
    pub(super) fn warning(id: Code, what: impl AsRef<str>, todo: impl AsRef<str>) -> Self {
        Self::new(id, Severity::Warning, what.as_ref(), todo.as_ref())
    }

    /// Does not work, or is not safe.
    pub(super) fn error(id: Code, what: impl AsRef<str>, todo: impl AsRef<str>) -> Self {
        Self::new(id, Severity::Error, what.as_ref(), todo.as_ref())
    }

    /// The same, as bad as that.
    pub(super) fn new(id: Code, severity: Severity, what: &str, todo: &str) -> Self {
        let safe = |text: &str| display_safe_within(text, SHOWN);
        Self { id, area: id.area(), severity, what: safe(what), why: id.why(), todo: safe(todo) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_a_word_of_its_own_with_a_reason() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
            assert!(code.why().ends_with('.'), "{code:?}");
        }
        assert!(Code::ALL.is_sorted_by_key(|code| code.area()));
    }

    #[test]
    fn every_code_is_in_the_documentation() {
        let guide = include_str!("../../../../docs/troubleshooting.md");
        let told = guide.split("\n## Findings of `doctor`\n").nth(1).unwrap();
        for code in Code::ALL {
            let line = format!("| `{}` | {} |", code.as_str(), code.why());
            assert!(told.lines().any(|told| told == line), "missing or different: {line}");
        }
        assert_eq!(told.lines().filter(|line| line.starts_with("| `")).count(), Code::ALL.len());
    }

    #[test]
    fn hostile_text_is_shown_as_what_it_is() {
        let finding = Finding::note(Code::AgentLint, "a\u{1b}[2Jb\n", "");
        assert_eq!(finding.what, "a\\u{1b}[2Jb\\u{a}");
        let text = serde_json::to_value(&finding).unwrap();
        assert_eq!((text["id"].as_str(), text.get("todo")), (Some("agent_lint"), None));
    }
}
