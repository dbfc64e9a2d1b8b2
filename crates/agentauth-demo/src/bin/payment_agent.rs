//! The sample payment agent's twin, for machines without Python; see `docs/examples/payment_agent.py`.
//!
//! Exit codes: 0 paid, 2 denied, 3 agentauthd cannot be reached, 1 anything else.

use std::path::PathBuf;
use std::process::ExitCode;

use agentauth_client::{CheckRequest, Client, ClientError, Verdict};
use agentauth_demo::talk::{Stopwatch, Talk};
use clap::Parser;
use serde_json::json;

/// Asks agentauthd before it pays an invoice.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "INV-2041")]
    invoice: String,
    #[arg(long, default_value = "120.50")]
    amount: String,
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// The daemon's socket.
    #[arg(long)]
    socket: PathBuf,
    /// Print the decision as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let (arguments, talk) = (Arguments::parse(), Talk);
    let paid = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Trouble::Runtime)
        .and_then(|runtime| runtime.block_on(pay(&arguments, &talk)));
    match paid {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(trouble) => {
            talk.trouble(&trouble);
            ExitCode::from(if matches!(trouble, Trouble::Hello(_)) { 3 } else { 1 })
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    #[error("agentauthd cannot be reached: start it with `agentauthd run`")]
    Hello(#[source] ClientError),
    #[error("agentauthd did not answer, so nothing was paid")]
    Check(#[source] ClientError),
    #[error("the decision cannot be shown")]
    Show(#[source] serde_json::Error),
}

async fn pay(given: &Arguments, talk: &Talk) -> Result<bool, Trouble> {
    let mut client = Client::new(&given.socket, rustix::process::getuid().as_raw());
    client.hello().await.map_err(Trouble::Hello)?;
    let request = CheckRequest {
        scope: Some(format!("payments.execute:currency={}", given.currency)),
        purpose: Some(format!("pay invoice {}", given.invoice)),
        action: Some(json!({"invoice": given.invoice, "amount": given.amount, "currency": given.currency})),
        ..CheckRequest::default()
    };
    let asked = Stopwatch::start();
    let decision = client.check(&request).await.map_err(Trouble::Check)?;
    let took = asked.elapsed();
    let allowed = decision.decision == Verdict::Allow;
    if given.json {
        let mut shown = serde_json::to_value(&decision).map_err(Trouble::Show)?;
        if let Some(shown) = shown.as_object_mut() {
            shown
                .insert("asked_in_us".to_owned(), json!(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
        }
        talk.line(shown);
    } else if allowed {
        // Stands in for the call to the bank. It is reached only after an allow.
        talk.line(format_args!("paid {} {}, reference PAY-{}", given.amount, given.currency, given.invoice));
    } else {
        talk.line(format_args!("not paid ({}): {}", decision.reason, decision.message));
    }
    Ok(allowed)
}
