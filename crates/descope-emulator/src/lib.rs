//! A stand-in Descope for tests and the demonstration: discovery, keys, authorization with a sign-in page, tokens,
//! refresh with every way in which rotation may behave, logout — and faults on purpose.
//!
//! It follows what is known of the service; what is not known can be set either way ([`Settings`]). The service's own
//! Python and Node SDKs, unmodified, hold it to that (`tests/suites/sdks.rs`). It listens on loopback only and is never
//! linked into the daemon.
//!
//! One key set signs for all families of clients ([`Realm`]), each with its own issuer, discovery document and endpoints:
//! the project itself, whose client id is the project id; federated apps; inbound apps, which are third parties and ask the
//! user for consent; and the clients of MCP servers. Apps and servers come from the fixture or are registered while it runs
//! ([`App`], [`McpServer`]). Nothing is ever sent by mail: the sign-in links of a passwordless flow wait in an outbox
//! ([`Control::outbox`]).
//!
//! Beside a login's own endpoints it has those that tests need to bring a login about and to change what it is worth:
//! sign-ins by password, code and link, access keys, and the part of the management API around users, their rights and
//! their sessions.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use descope_emulator::{Emulator, Fault, FaultAction};
//!
//! let emulator = Emulator::builder().auto_approve("alice@acme.test").start().await?;
//! let control = emulator.control();
//! control.update_settings(|settings| settings.refresh.rotate = true);
//! control.inject(Fault::on("/oauth2/v1/token", FaultAction::AnswerLost).grant("refresh_token").once());
//! // … point a client at `emulator.base_url()` and `emulator.project_id()` …
//! assert!(control.live_families().len() <= 1);
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access_keys;
mod admin;
mod apps;
mod audit;
mod authorization;
mod body;
mod certificates;
mod clients;
mod clock;
mod consents;
mod control;
mod devices;
mod doors;
mod emulator;
mod errors;
mod factors;
mod families;
mod faults;
mod fixture;
mod forge;
mod keys;
mod ledger;
mod limits;
mod one_time;
mod outbox;
mod params;
mod random;
mod realms;
mod redirects;
mod renew;
mod server;
mod settings;
mod state;
mod tokens;
mod traffic;
mod views;

pub use apps::{App, AppKind, AppView, DefaultAudience, GrantType, McpServer};
pub use consents::Consent;
pub use control::{Control, ControlFault};
pub use emulator::{Builder, Config, DEFAULT_PROJECT_ID, Emulator, StartFault};
pub use families::FamilyEnd;
pub use faults::{Fault, FaultAction, FaultBody, FaultView, HeldRequest, HoldStage};
pub use fixture::{
    ACME, Fixture, FixtureFault, FixtureProject, FixtureUser, ProjectKeys, Tenant, TestPassword,
};
pub use forge::{Signing, TokenKind, TokenOverride};
pub use keys::{Algorithm, KeyFault};
pub use ledger::{Secret, SecretKind};
pub use outbox::Mail;
pub use realms::Realm;
pub use settings::{
    Approval, AudienceForm, AuthorizationSchema, Delivery, DeviceSettings, EmptyClaims, ErrorShape,
    HistoryShape, IssParameter, IssuerForm, Lifetimes, NonceForm, OauthSettings, RateLimit, RedirectSettings,
    RefreshSettings, RefusalForm, RestSettings, ReusePolicy, ScopeForm, Settings, SettingsFault,
    SignInSettings, TokenShape, UnrotatedAnswer, ValidateShape,
};
pub use traffic::{PathCount, RequestRecord};
pub use views::{DeviceState, DeviceView, FamilyView, KeyView, SignedIn, UserChange, UserView};
