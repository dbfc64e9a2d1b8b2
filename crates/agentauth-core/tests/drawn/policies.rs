//! Random policies over the whole vocabulary. All of them pass validation; some of them fail when they are evaluated.

use agentauth_core::policy::PolicyFile;
use fastrand::Rng;

use super::{chance, pick};

/// The most policies of one set.
const MOST: usize = 12;

/// A set of policies: an administrator's in two files, and a person's own.
pub(crate) fn files(random: &mut Rng) -> Vec<PolicyFile> {
    let mut texts = [String::new(), String::new(), String::new()];
    // Mostly something is permitted, so that there is something to forbid.
    let broad = chance(random, 0.85);
    // Many sets read nothing that forbids to remember their verdicts, or but one thing.
    let words = match random.u8(0..3) {
        0 => Words::All,
        1 => Words::Timeless,
        _ => Words::TimelessBut(pick(random, TIMELY)),
    };
    if broad {
        texts[0] = "@id(\"base\") permit (principal, action, resource);\n".to_owned();
    }
    for number in 0..random.usize(0..=MOST - usize::from(broad)) {
        let text = if chance(random, 0.12) { 2 } else { random.usize(0..2) };
        // A name that is taken above is no fault of a person's.
        let id =
            if text == 2 && broad && chance(random, 0.2) { "base".to_owned() } else { format!("p{number}") };
        let policy = policy(random, words, &id);
        // Nobody grants to themselves what nobody is asked about.
        let kept = if text == 2 {
            policy.replace("@preapprove(\"high_risk\") ", "").replace("@preapprove ", "")
        } else {
            policy
        };
        texts[text] += &kept;
    }
    // A name counts once among a person's own.
    let twice = texts[2].matches("@id(\"base\")").count() > 1;
    if twice {
        texts[2].clear();
    }
    ["a.cedar", "b.cedar", "own.cedar"]
        .into_iter()
        .zip(texts)
        .map(|(name, text)| PolicyFile { name: name.to_owned(), text, own: name == "own.cedar" })
        .collect()
}

/// One policy.
fn policy(random: &mut Rng, words: Words, id: &str) -> String {
    if chance(random, 0.4) { permit(random, words, id) } else { forbid(random, words, id) }
}

pub(crate) fn permit(random: &mut Rng, words: Words, id: &str) -> String {
    let notes = pick(
        random,
        &[
            "",
            "",
            "",
            "@max_lifetime(\"PT5M\") ",
            "@max_lifetime(\"PT20S\") ",
            "@require_proof ",
            "@limits_only @max_lifetime(\"PT1M\") ",
            "@preapprove ",
            "@preapprove(\"high_risk\") ",
        ],
    );
    format!("@id(\"{id}\") {notes}permit ({}){};\n", head(random), conditions(random, words))
}

pub(crate) fn forbid(random: &mut Rng, words: Words, id: &str) -> String {
    let notes = pick(
        random,
        &[
            "",
            "",
            "@role(\"admin\") ",
            "@reason_user(\"Not so.\") ",
            "@remedy(\"step_up\") ",
            "@remedy(\"step_up\") @acr(\"phr\") @max_age(\"PT5M\") ",
            "@remedy(\"step_up\") @max_age(\"PT1M\") ",
            "@remedy(\"consent\") ",
            "@remedy(\"consent\") @strength(\"passkey\") ",
            "@remedy(\"consent\") @strength(\"prompt\") @role(\"boss\") ",
            "@remedy(\"register\") ",
            "@remedy(\"proof\") ",
            "@remedy(\"attestation\") ",
        ],
    );
    format!("@id(\"{id}\") {notes}forbid ({}){};\n", head(random), conditions(random, words))
}

/// A policy that concerns everything and fails whenever it is evaluated.
pub(crate) fn failing(random: &mut Rng, id: &str) -> String {
    let effect = pick(random, &["permit", "forbid"]);
    let condition = pick(
        random,
        &[
            "9223372036854775807 + context.known.now.toTime().toMilliseconds() + 1 > 0 || \
             9223372036854775807 + 1 + context.known.auth_age > 0",
            "context.known.now.offset(duration(\"9223372036854775807ms\")) > context.known.now",
            "context.signals.isEmpty() && 9223372036854775807 * 2 > 0 || -9223372036854775807 - 2 < 0",
        ],
    );
    format!("@id(\"{id}\") {effect} (principal, action, resource) when {{ {condition} }};\n")
}

fn head(random: &mut Rng) -> String {
    let principal = pick(
        random,
        &[
            "principal",
            "principal",
            "principal",
            "principal",
            "principal is AgentAuth::Agent",
            "principal == AgentAuth::Agent::\"files-agent\"",
            "principal in AgentAuth::User::\"U1\"",
            "principal in AgentAuth::Role::\"admin\"",
            "principal is AgentAuth::Agent in AgentAuth::Tenant::\"T1\"",
        ],
    );
    let action = pick(
        random,
        &[
            "action",
            "action",
            "action == AgentAuth::Action::\"files.read\"",
            "action == AgentAuth::Action::\"warp.engage\"",
            "action in AgentAuth::Action::\"files.*\"",
            "action in AgentAuth::Action::\"payments.*\"",
            "action in AgentAuth::Action::\"risk:high\"",
            "action in AgentAuth::Action::\"risk:read\"",
            "action in AgentAuth::Action::\"risk:money\"",
            "action in [AgentAuth::Action::\"files.write\", AgentAuth::Action::\"risk:execute\"]",
            "action in [AgentAuth::Action::\"payments.execute\", AgentAuth::Action::\"payments.read\"]",
            "action in AgentAuth::Action::\"files.delete\"",
        ],
    );
    let resource = pick(
        random,
        &[
            "resource",
            "resource",
            "resource",
            "resource",
            "resource is AgentAuth::Resource",
            "resource in AgentAuth::Resource::\"files:/projects\"",
            "resource in AgentAuth::Resource::\"files:/\"",
            "resource in AgentAuth::Resource::\"payments\"",
            "resource == AgentAuth::Resource::\"files:/projects/alpha\"",
            "resource == AgentAuth::Resource::\"payments:currency=EUR\"",
            "resource is AgentAuth::Resource in AgentAuth::Resource::\"files\"",
        ],
    );
    format!("{principal}, {action}, {resource}")
}

fn conditions(random: &mut Rng, words: Words) -> String {
    let mut text = String::new();
    for _ in 0..pick(random, &[0, 1, 1, 1, 1, 2]) {
        let word = if chance(random, 0.75) { "when" } else { "unless" };
        text += &format!(" {word} {{ {} }}", condition(random, words, 2));
    }
    text
}

fn condition(random: &mut Rng, words: Words, depth: usize) -> String {
    if depth == 0 || chance(random, 0.6) {
        return atom(random, words);
    }
    let mut inner = || condition(random, words, depth - 1);
    let (one, two, three) = (inner(), inner(), inner());
    match random.u8(0..8) {
        0..3 => format!("({one}) && ({two})"),
        3..6 => format!("({one}) || ({two})"),
        6 => format!("!({one})"),
        _ => format!("if {one} then {two} else {three}"),
    }
}

fn atom(random: &mut Rng, words: Words) -> String {
    if let Words::TimelessBut(one) = words
        && chance(random, 0.25)
    {
        let about: Vec<&str> =
            ATOMS.iter().chain(AWKWARD).copied().filter(|atom| atom.contains(one)).collect();
        let atom = pick(random, &about);
        return filled(random, atom);
    }
    loop {
        let seldom = chance(random, 0.06);
        let atom = pick(random, if seldom { AWKWARD } else { ATOMS });
        let timely = TIMELY.iter().find(|word| atom.contains(**word)).copied();
        let drawn = match (words, timely) {
            (Words::All, _) | (_, None) => true,
            (Words::Timeless, Some(_)) => false,
            (Words::TimelessBut(one), Some(word)) => one == word,
        };
        if drawn {
            return filled(random, atom);
        }
    }
}

/// Which conditions are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// All there are.
    All,
    /// None that looks at the time, or at what the caller says.
    Timeless,
    /// Those, and the ones that look at this.
    TimelessBut(&'static str),
}

/// How conditions are known whose verdicts are not remembered.
const TIMELY: &[&str] = &[
    ".now",
    "auth_age",
    "confirmed_age",
    "local_",
    "claimed",
    "context ==",
    "known ==",
    "then context",
    "context.known}",
];

fn filled(random: &mut Rng, atom: &str) -> String {
    let role = pick(random, &["admin", "payment_processor", "viewer"]);
    let kind = pick(random, &["none", "once", "until", "session", "always", "mandate"]);
    let signal = pick(random, &["burst", "rate", "volume"]);
    // Around the ages, times and amounts that are drawn.
    let seconds = pick(random, &["0", "30", "30", "60", "90", "90", "300", "3600"]);
    let instant = pick(random, &["2026-11-21T09:59:30Z", "2026-11-21T10:00:20Z", "2026-11-21T10:01:00Z"]);
    atom.replace("ROLE", role)
        .replace("KIND", kind)
        .replace("SIGNAL", signal)
        .replace("SECONDS", seconds)
        .replace("INSTANT", instant)
}

/// Everything that conditions are made of, as one set of policies.
pub(crate) fn every_atom() -> String {
    let all = ATOMS.iter().chain(AWKWARD).enumerate();
    let random = &mut Rng::with_seed(0);
    all.map(|(number, atom)| {
        let condition = filled(random, atom);
        format!("@id(\"p{number}\") permit (principal, action, resource) when {{ {condition} }};\n")
    })
    .collect()
}

const ATOMS: &[&str] = &[
    "principal in AgentAuth::Role::\"ROLE\"",
    "principal.user in AgentAuth::Role::\"ROLE\"",
    "principal in [AgentAuth::Role::\"ROLE\", AgentAuth::Role::\"viewer\"]",
    "principal in AgentAuth::Permission::\"pay\"",
    "principal in AgentAuth::Tenant::\"T1\"",
    "principal in AgentAuth::User::\"U1\"",
    "principal.user == AgentAuth::User::\"U2\"",
    "principal.user.stepped_up",
    "principal.user.factors.contains(\"mfa\")",
    "principal.user has email && principal.user.email like \"*@acme.test\"",
    "principal.user has current_tenant && principal.user.current_tenant == \"T1\"",
    "principal.name == \"files-agent\"",
    "principal.version like \"2.*\"",
    "principal.registered_by == \"administrator\"",
    "principal has publisher && principal.publisher == \"Example\"",
    "action in AgentAuth::Action::\"risk:high\"",
    "action == AgentAuth::Action::\"files.read\"",
    "resource in AgentAuth::Resource::\"files:/projects\"",
    "resource in AgentAuth::Resource::\"files:/projects/alpha\"",
    "resource.kind == \"files\"",
    "resource has path && resource.path like \"/projects/*\"",
    "resource has path",
    "resource.risk == \"read\"",
    "resource.classification.contains(\"secret\")",
    "resource.classification.containsAny([\"outside\", \"secret\"])",
    "resource.classification.isEmpty()",
    "resource.classification_within.contains(\"secret\")",
    "resource.classification_within.isEmpty()",
    "resource.hasTag(\"currency\") && resource.getTag(\"currency\") == \"EUR\"",
    "resource.hasTag(\"payee\")",
    "context.known.now < datetime(\"INSTANT\")",
    "context.known.now.toTime() < duration(\"10h20s\")",
    "context.known.now.durationSince(context.known.logged_in_at) < duration(\"SECONDSs\")",
    "context.known.logged_in_at > datetime(\"INSTANT\")",
    "context.known.auth_age < SECONDS",
    "context.known.auth_age >= SECONDS",
    "context.known.auth_age + 0 <= SECONDS",
    "context.known.session_confirmed_age > SECONDS",
    "context.known has acr && context.known.acr == \"phr\"",
    "context.known.amr.contains(\"mfa\")",
    "context.known has person_seen_at && context.known.person_seen_at > datetime(\"INSTANT\")",
    "context.known.device.managed",
    "context.known.device.attested",
    "context.known.device == AgentAuth::Device::\"device:1\"",
    "context.known.device has os_version && context.known.device.os_version like \"6.*\"",
    "context.known.device.os == \"linux\"",
    "context.known.daemon_version == \"1.0.0\"",
    "context.known.grant == \"KIND\"",
    "context.known.grant == \"KIND\"",
    "context.known.grant != \"none\"",
    "context.known.grant_strength == \"passkey\"",
    "context.known.grant_strength_level < 2",
    "context.known.local_minute <= 601",
    "context.known.local_weekday == 6",
    "[\"once\", \"KIND\"].contains(context.known.grant)",
    "context.known.proof",
    "context.known.assurance == \"pinned\"",
    "context.known.assurance_level >= 2",
    "context.known.assurance_level < 3",
    "context.known.greeted",
    "context.known.tampered",
    "context.known.caveats.contains(\"traced\")",
    "context.known.caveats.isEmpty()",
    "context.known.risk == \"money\"",
    "context.known.high_risk",
    "context.signals.contains(\"SIGNAL\")",
    "context.signals.isEmpty()",
    "context.signals.containsAny([\"off_hours\", \"SIGNAL\"])",
    "context.claimed has purpose && context.claimed.purpose == \"invoice\"",
    "context.claimed has action",
    "context.claimed has bytes && context.claimed.bytes > 50",
    "context.claimed has items && context.claimed.items < 3",
    "true",
];

/// What reads the context in unusual ways, and what fails: sometimes, or always.
const AWKWARD: &[&str] = &[
    "context.known == context.known",
    "context == context",
    "context.claimed == context.claimed",
    "(if principal.user.stepped_up then context.known else context.known).grant == \"KIND\"",
    "{\"x\": context.known}.x.risk == \"read\"",
    "[context.signals].contains([\"SIGNAL\"])",
    "[context.claimed].contains(context.claimed) && principal.user.stepped_up",
    "[context.known.auth_age, 3600].contains(3600)",
    "9223372036854775807 + context.known.assurance_level > 0",
    "9223372036854775807 - 30 + context.known.session_confirmed_age > 0",
    "context.known.auth_age * 4611686018427387904 >= 0",
    "context.claimed has bytes && context.claimed.bytes * 4611686018427387904 > 0",
    "context.known.now.offset(duration(\"9223372036854775807ms\")) > context.known.now",
    "context.known.greeted && 9223372036854775807 + 1 > 0",
];
