//! `agentauthd login`: start a login, show what the person has to do, follow it.

use std::io::IsTerminal as _;
use std::time::Duration;

use agentauth_client::{Client, LoginMethod, LoginProgress, LoginRequest, LoginStarted, LoginWay, Party};
use agentauth_core::Timestamp;
use agentauth_core::text::display_safe_within;
use agentauth_host::place::{self, Place};
use clap::Args;
use serde::Serialize;

use super::output::{self, FAINT, STRONG, WARN};
use super::qr::{Look, Picture};
use super::{Context, Exit, Failure, hints, words};

/// How long one request waits for the person.
const POLL: Duration = Duration::from_secs(25);

/// The longest address that is shown whole, in characters.
const LONGEST_URL: usize = 8 * 1024;

/// Log in, in the browser here or on another device. The daemon must be running.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Log in on another device, with a code: for machines without a browser.
    #[arg(long, conflicts_with_all = ["no_browser", "flow", "tenant", "login_hint"])]
    device: bool,
    /// Draw the QR code even if standard error is no terminal.
    #[arg(long, requires = "device")]
    qr: bool,
    /// The sign-in flow to run.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// The tenant to sign in to.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Whom the sign-in page should expect, usually an e-mail address.
    #[arg(long, value_name = "NAME")]
    login_hint: Option<String>,
    /// Hand this installation over to another account: sign in as that one first, then confirm as the present one.
    #[arg(long, conflicts_with = "device")]
    switch: bool,
    /// Print the outcome as JSON; with `--device`, first what the person needs, one object a line.
    #[arg(long)]
    json: bool,
}

/// What a program needs to tell a person, before there is an outcome.
#[derive(Serialize)]
struct Begun<'a> {
    state: &'static str,
    #[serde(flatten)]
    started: &'a LoginStarted,
}

impl Login {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let request = LoginRequest {
            method: self.device.then_some(LoginMethod::Device),
            flow: self.flow.clone(),
            tenant: self.tenant.clone(),
            login_hint: self.login_hint.clone(),
            switch: self.switch,
        };
        let started = client.login_start(&request).await?;
        match &started.way {
            LoginWay::Browser { url, redirect_uri, device_offered, .. } => {
                let what = if self.switch { "Sign in as the new account at" } else { "Sign in at" };
                let device_offered = *device_offered && !self.switch;
                Address { what, url, redirect_uri, device_offered }.show(context, !self.no_browser);
            }
            LoginWay::Device { verification_uri, verification_uri_complete, user_code } => {
                let complete = verification_uri_complete.as_deref();
                self.show_code(context, verification_uri, complete, user_code);
                if self.json {
                    output::json_line(&Begun { state: "waiting", started: &started })?;
                }
            }
        }
        let waiting = Waiting { browser: !self.no_browser, device: self.device };
        let Some(progress) = waiting.follow(context, &mut client, &started).await? else {
            return Ok(Exit::Error);
        };
        if self.json {
            if self.device {
                output::json_line(&progress)?
            } else {
                output::json(&progress)?
            }
            let done = matches!(progress, LoginProgress::Done { .. });
            return Ok(if done { Exit::Done } else { Exit::Error });
        }
        match progress {
            LoginProgress::Done { user } => {
                output::data(&format!("Logged in as {}.", words::account(&user)))?;
                Ok(Exit::Done)
            }
            LoginProgress::Failed { message, .. } => {
                Err(Failure::Told(format!("the login failed: {message}")))
            }
            LoginProgress::Waiting | LoginProgress::Confirm { .. } => Ok(Exit::Error),
        }
    }

    /// The way over another device. The QR code comes first, so that code and warning stay in sight.
    fn show_code(&self, context: &Context<'_>, address: &str, complete: Option<&str>, user_code: &str) {
        if self.qr || std::io::stderr().is_terminal() {
            draw(context, complete.unwrap_or(address));
        }
        let (address, code) = (display_safe_within(address, LONGEST_URL), display_safe_within(user_code, 64));
        output::say(&format!(
            "{STRONG}On a device with a browser, open{STRONG:#}\n\n  {address}\n\n{STRONG}and enter the code{STRONG:#}\n\n  \
             {STRONG}{code}{STRONG:#}\n\nIf the page shows a code by itself, compare it with this one.\n\n{WARN}Only go on if you \
             started this login yourself, a moment ago.{WARN:#} Whoever gets you to approve a code that\nis not yours is logged in \
             as you: never enter one that somebody sent or read to you.\n"
        ));
    }
}

/// Where a person has to sign in, in the browser of this machine.
struct Address<'a> {
    /// What for, as the beginning of a sentence.
    what: &'a str,
    /// What to open.
    url: &'a str,
    /// Where the browser comes back to.
    redirect_uri: &'a str,
    /// Whether another device is a way, too.
    device_offered: bool,
}

impl Address<'_> {
    /// Shows the address and opens it in the `browser`, or says what to do where there is none.
    fn show(&self, context: &Context<'_>, browser: bool) {
        let shown = display_safe_within(self.url, LONGEST_URL);
        output::say(&format!("{STRONG}{}{STRONG:#}\n\n  {shown}\n", self.what));
        if browser && context.loaded.config.login.open_browser && open(self.url) {
            output::say("Your browser has been opened there.");
            return;
        }
        let port = port_of(self.redirect_uri);
        for hint in hints::without_browser(here(context), port, self.device_offered) {
            output::say(&format!("{FAINT}{hint}{FAINT:#}"));
        }
    }
}

/// A fresh login, or a passkey, that confirms something.
pub(super) struct Confirmation<'a> {
    /// What for, as the beginning of a sentence that ends with the address.
    pub(super) what: &'a str,
    /// Whether a browser may be opened for it.
    pub(super) browser: bool,
}

impl Confirmation<'_> {
    /// Follows the login to its end; whether it was confirmed. `otherwise` says what stays as it was.
    pub(super) async fn follow(
        &self,
        context: &Context<'_>,
        client: &mut Client,
        login: &LoginStarted,
        otherwise: &str,
    ) -> Result<bool, Failure> {
        if let LoginWay::Browser { url, redirect_uri, page, .. } = &login.way {
            let what = self.what;
            if let Some(page) = page {
                output::say(&format!(
                    "{FAINT}{what}{FAINT:#}\n\n  {}\n",
                    display_safe_within(url, LONGEST_URL)
                ));
                let what = "Or confirm it with your passkey at";
                let (url, redirect_uri) = (page.as_str(), page.as_str());
                Address { what, url, redirect_uri, device_offered: false }.show(context, self.browser);
            } else {
                Address { what, url, redirect_uri, device_offered: false }.show(context, self.browser);
            }
        }
        match (Waiting { browser: self.browser, device: false }).follow(context, client, login).await? {
            Some(LoginProgress::Done { .. }) => Ok(true),
            Some(LoginProgress::Failed { message, .. }) => {
                Err(Failure::Told(format!("{otherwise}: {message}")))
            }
            _ => Ok(false),
        }
    }
}

/// How a login is waited for.
struct Waiting {
    /// Whether a browser may be opened for what follows.
    browser: bool,
    /// Whether the person signs in on another device.
    device: bool,
}

impl Waiting {
    /// Follows a login to its end; nothing where the person does not wait for it.
    async fn follow(
        &self,
        context: &Context<'_>,
        client: &mut Client,
        started: &LoginStarted,
    ) -> Result<Option<LoginProgress>, Failure> {
        let say_left = |expires_at: Timestamp| {
            let left = words::span(expires_at.duration_since(context.now()));
            output::say(&format!("Waiting until you have signed in ({left} left; Ctrl-C stops waiting)."));
        };
        say_left(started.expires_at);
        let mut seen = "waiting";
        loop {
            let progress = tokio::select! {
                progress = client.login_change(&started.id, seen, POLL) => progress?,
                _ = tokio::signal::ctrl_c() => {
                    let what = if self.device { "code" } else { "address" };
                    output::say(&context.addressed(&format!(
                        "\nStopped waiting. The {what} stays good until it expires; sign in there, or run `agentauthd login` again."
                    )));
                    return Ok(None);
                }
            };
            match progress {
                LoginProgress::Waiting => {}
                LoginProgress::Confirm { from, to, url, redirect_uri, expires_at } => {
                    if seen == "confirm" {
                        continue;
                    }
                    seen = "confirm";
                    output::say(&format!(
                        "\n{WARN}This installation is to be handed over:{WARN:#}\n  from  {}\n  to    {}\nNothing has changed \
                         yet. To confirm it, sign in again as the first of the two.",
                        whole(&from),
                        whole(&to)
                    ));
                    let (url, redirect_uri) = (url.as_str(), redirect_uri.as_str());
                    let what = "Confirm the handover at";
                    Address { what, url, redirect_uri, device_offered: false }.show(context, self.browser);
                    say_left(expires_at);
                }
                ended => return Ok(Some(ended)),
            }
        }
    }
}

/// An account with all that tells it from another of the same name.
fn whole(party: &Party) -> String {
    format!(
        "{} ({} at {})",
        words::account(&party.account),
        display_safe_within(&party.account.subject, 128),
        display_safe_within(&party.issuer, 256)
    )
}

/// Opens the browser; if that fails, says so, and the person uses the printed address.
fn open(url: &str) -> bool {
    match agentauth_host::browser::open(url) {
        Ok(()) => true,
        Err(error) => {
            output::say(&format!(
                "No browser was opened: {}.",
                display_safe_within(&error.to_string(), 1024)
            ));
            false
        }
    }
}

/// Where the person's browser is, seen from here.
fn here(context: &Context<'_>) -> Place {
    place::here(context.environment.place())
}

/// Draws an address as a QR code, where it fits.
fn draw(context: &Context<'_>, address: &str) {
    let look = Look { unicode: context.environment.shows_unicode(), colour: output::colour_on_stderr() };
    let Some(picture) = Picture::of(address) else { return };
    let columns = terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0));
    if columns.is_some_and(|columns| picture.columns(look) > columns) {
        let needed = picture.columns(look);
        output::say(&format!(
            "{FAINT}(The terminal is too narrow for the QR code: it takes {needed} columns.){FAINT:#}\n"
        ));
        return;
    }
    output::say(&format!("{}\n", picture.draw(look)));
}

fn port_of(redirect_uri: &str) -> Option<u16> {
    url::Url::parse(redirect_uri).ok()?.port()
}
