//! The sample payment agent as a compiled program; see `docs/examples/payment_agent.py` for the same in Python.
//!
//! Exit codes: 0 allowed, 2 denied, 3 agentauthd cannot be reached, 1 anything else.

use std::path::PathBuf;
use std::process::ExitCode;

use agentauth_client::{CheckRequest, Client, ClientError, ConsentAllowed, ConsentAnswer, Verdict};
use agentauth_demo::agent::PAY;
use agentauth_demo::binaries;
use agentauth_demo::talk::{Stopwatch, Talk};
use clap::Parser;
use serde_json::{Value, json};

/// Asks agentauthd before it pays an invoice.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "INV-2041")]
    invoice: String,
    #[arg(long, default_value = "120.50")]
    amount: String,
    /// What it asks for.
    #[arg(long, default_value = PAY)]
    scope: String,
    /// Misbehave: answer this question in the person's place.
    #[arg(long, value_name = "QUESTION")]
    approve: Option<String>,
    /// Misbehave once more: the words of the person's command line, to approve it there.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cli: Vec<String>,
    /// The daemon's socket.
    #[arg(long)]
    socket: PathBuf,
    /// Print the decision as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let (arguments, talk) = (Arguments::parse(), Talk);
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Trouble::Runtime)
        .and_then(|runtime| runtime.block_on(work(&arguments, &talk)));
    match done {
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

async fn work(given: &Arguments, talk: &Talk) -> Result<bool, Trouble> {
    let mut client = Client::new(&given.socket, rustix::process::getuid().as_raw());
    client.hello().await.map_err(Trouble::Hello)?;
    if let Some(question) = &given.approve {
        let outcome = approve(given, &mut client, question).await?;
        let succeeded = outcome.get("decision").is_some_and(|decision| decision == "allow");
        talk.line(outcome);
        return Ok(succeeded);
    }
    let pays = given.scope.starts_with("payments.execute");
    let request = CheckRequest {
        scope: Some(given.scope.clone()),
        purpose: pays.then(|| format!("pay invoice {}", given.invoice)),
        action: pays.then(|| json!({"invoice": given.invoice, "amount": given.amount, "currency": "EUR"})),
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
        talk.line(format_args!("done: {}", given.scope));
    } else {
        talk.line(format_args!("not done ({}): {}", decision.reason, decision.message));
    }
    Ok(allowed)
}

/// Tries what no agent may: to answer the question that was put to its person.
async fn approve(given: &Arguments, client: &mut Client, question: &str) -> Result<Value, Trouble> {
    let allow = vec![ConsentAllowed { scope: given.scope.clone(), lifetime: "30m".to_owned() }];
    let answer = ConsentAnswer { allow, ..ConsentAnswer::default() };
    let itself = match client.consent_answer(question, &answer).await {
        Ok(_) => None,
        Err(ClientError::Refused(problem)) => Some((problem.code.as_str().to_owned(), problem.detail)),
        Err(error) => return Err(Trouble::Check(error)),
    };
    let through_the_command_line = given.cli.split_first().is_some_and(|(program, words)| {
        let mut command = binaries::program(program);
        command.env_clear().args(words).args(["approve", question]);
        command.output().is_ok_and(|output| output.status.success())
    });
    Ok(match itself {
        Some((code, detail)) if !through_the_command_line => {
            json!({"decision": "deny", "reason": code, "message": detail})
        }
        _ => json!({"decision": "allow", "reason": "granted", "message": "it approved its own question"}),
    })
}
