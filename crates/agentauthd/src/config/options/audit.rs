//! The options of how the record is kept.

use agentauth_core::SignedDuration;

use super::form::{Number, Size, Span, Switch};
use super::{OptionSpec, row};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const LONGEST: SignedDuration = SignedDuration::from_hours(3650 * 24);

pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(audit.rotate_size = Size(64 << 10, 1 << 30), "AGENTAUTHD_AUDIT_ROTATE_SIZE"),
    row!(audit.rotate_after = Span(MINUTE, LONGEST), "AGENTAUTHD_AUDIT_ROTATE_AFTER"),
    row!(audit.compress = Switch, "AGENTAUTHD_AUDIT_COMPRESS"),
    row!(audit.keep_for = Span(DAY, LONGEST), "AGENTAUTHD_AUDIT_KEEP_FOR"),
    row!(audit.keep_size = Size(1 << 20, 1 << 40), "AGENTAUTHD_AUDIT_KEEP_SIZE"),
    row!(audit.fold_after = Number(1, 1_000_000), "AGENTAUTHD_AUDIT_FOLD_AFTER"),
    row!(audit.fold_window = Span(SECOND, HOUR), "AGENTAUTHD_AUDIT_FOLD_WINDOW"),
    row!(audit.checkpoint_records = Number(10, 1_000_000), "AGENTAUTHD_AUDIT_CHECKPOINT_RECORDS"),
    row!(audit.checkpoint_interval = Span(SECOND, DAY), "AGENTAUTHD_AUDIT_CHECKPOINT_INTERVAL"),
];
