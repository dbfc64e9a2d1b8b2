//! Tells the person on the desktop that a question waits. Nothing depends on it, and nothing waits for it.

use std::sync::Arc;

use agentauth_core::consent::Question;
use agentauth_core::text::display_safe_within;
use agentauth_host::notify::notify;
use tokio_util::sync::CancellationToken;

use super::consents::Consents;
use crate::config::addressed;
use agentauth_idp::Chain;

/// Notifies of each question once, until told to stop.
pub(crate) async fn run(consents: Arc<Consents>, profile: String, stop: CancellationToken) {
    let mut changes = consents.watch();
    let mut told: Vec<Arc<str>> = Vec::new();
    loop {
        let waiting = consents.list().1;
        told.retain(|id| waiting.iter().any(|question| question.id == *id));
        for question in &waiting {
            if told.contains(&question.id) {
                continue;
            }
            told.push(question.id.clone());
            let (summary, body) = words(question, &profile);
            let notified = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                notified = notify(&summary, &body) => notified,
            };
            if let Err(error) = notified {
                tracing::debug!(error = %Chain(&error), "nobody was notified of a question");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// What the notification says. Every text in a question is safe to show.
fn words(question: &Question, profile: &str) -> (String, String) {
    let first = question.scopes.first().map(|asked| asked.sentence()).unwrap_or_default();
    let more = match question.scopes.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let what = display_safe_within(&first, 120);
    let answer =
        addressed(profile, "Answer on the page that opens, or with `agentauthd consents`.").into_owned();
    (format!("`{}` asks for your consent", question.agent), format!("It wants to {what}{more}. {answer}"))
}
