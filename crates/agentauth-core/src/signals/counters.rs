//! What one agent does, counted.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

use super::days::Days;
use super::known::Known;
use super::limits::{Bound, Limits};
use super::ring::Ring;
use super::spread::Spread;
use super::{Signal, Signals};
use crate::catalogue::{Catalogue, RiskClass};
use crate::scope::{Scope, ScopeContext};
use crate::time::Timestamp;

/// How many segments of a path tell risky resources apart: which file it is matters less than where.
const SEGMENTS: usize = 2;
/// For how long it is taken for granted that no working hour begins, where no beginning can be told.
const AN_HOUR: u64 = 3600;

/// What an agent asks for.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// What for.
    pub scopes: &'a [Scope],
    /// What can go wrong with it.
    pub catalogue: &'a Catalogue,
    /// How much it is, in bytes, by the agent's word.
    pub bytes: u64,
    /// And in items.
    pub items: u64,
    /// How often it asks for it: once, unless equal questions were counted together.
    pub times: u64,
}

/// What one agent did, in a fixed space.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Goes into the hashes of resources, so that nobody can choose resources that look like others.
    seed: u64,
    rate: Ring<6>,
    burst: Ring<6>,
    denies: Ring<10>,
    off_hours: Ring<12>,
    bytes: Ring<12>,
    items: Ring<12>,
    spread: Spread,
    days: Days,
    known: Known,
    hours: Hours,
    up: [Up; Signal::ALL.len()],
}

/// What there is to say after something was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noted {
    /// The signals that the decision has to see.
    pub signals: Signals,
    /// Those of all that were not up before.
    pub raised: Signals,
}

/// One signal that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub signal: Signal,
    /// The most that was seen since it is up.
    pub seen: u64,
    /// The most of the days before; `None` where there is no past to speak of, or it plays no part.
    pub usual: Option<u64>,
    /// Beyond this it is too much.
    pub limit: u64,
    /// Since when it is up.
    pub since: Timestamp,
    /// Until when, if nothing further happens.
    pub until: Timestamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Up {
    seen: u64,
    usual: Option<u64>,
    limit: u64,
    since: u64,
    until: u64,
}

/// Whether it is a working hour, for as long as that is known.
#[derive(Debug, Clone, Copy, Default)]
struct Hours {
    open: bool,
    from: u64,
    until: u64,
}

/// The counts that are held against the past; each has a place in [`Days`].
#[derive(Clone, Copy)]
enum Count {
    Rate,
    Burst,
    Bytes,
    Items,
    Spread,
    Denies,
}

impl Counters {
    /// Nothing yet. `seed`: secret and random.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            rate: Ring::of(10),
            burst: Ring::of(10),
            denies: Ring::of(60),
            off_hours: Ring::of(300),
            bytes: Ring::of(300),
            items: Ring::of(300),
            spread: Spread::new(),
            days: Days::new(),
            known: Known::new(),
            hours: Hours { open: false, from: 0, until: 0 },
            up: [Up { seen: 0, usual: None, limit: 0, since: 0, until: 0 }; Signal::ALL.len()],
        }
    }

    /// The agent asks; to be told before that is decided. `by_name`: whether the person allowed exactly this, or will be
    /// asked about it anyway, so that nothing new happens unnoticed.
    pub fn asks(
        &mut self,
        limits: &Limits,
        act: &Act<'_>,
        by_name: impl Fn(&Scope) -> bool,
        now: Timestamp,
    ) -> Noted {
        if !limits.enabled {
            return Noted::default();
        }
        let at = seconds(now);
        self.days.begin(at);
        let risk = act.scopes.iter().map(|scope| act.catalogue.risk(scope)).max().unwrap_or(RiskClass::Read);
        let value = self.rate.add(at, act.times);
        let mut raised = self.judge(limits, Count::Rate, value, at);
        if risk > RiskClass::Read {
            let value = self.burst.add(at, act.times);
            raised = raised.and(self.judge(limits, Count::Burst, value, at));
        }
        raised = raised.and(self.moved(limits, act.bytes, act.items, at));
        let mut seen = self.spread.seen();
        for scope in act.scopes {
            seen = self.spread.add(at, self.hash(scope.resource(), scope.context_text()));
        }
        raised = raised.and(self.judge(limits, Count::Spread, seen, at));
        raised = raised.and(self.works(limits, act.times, risk.is_high(), now));
        let first = self.is_first(limits, act, by_name);
        if first {
            raised = raised.and(self.raise(limits, Signal::FirstSeen, 1, None, 0, at));
        }
        Noted { signals: self.up_for_one(first, at), raised }
    }

    /// What a decision about it has to see, without counting anything.
    #[must_use]
    pub fn sees(
        &self,
        limits: &Limits,
        act: &Act<'_>,
        by_name: impl Fn(&Scope) -> bool,
        now: Timestamp,
    ) -> Signals {
        if !limits.enabled {
            return Signals::NONE;
        }
        self.up_for_one(self.is_first(limits, act, by_name), seconds(now))
    }

    /// What it asked for was allowed.
    pub fn allowed(&mut self, limits: &Limits, act: &Act<'_>, now: Timestamp) {
        if limits.enabled && limits.first_seen {
            let day = u32::try_from(seconds(now) / 86_400).unwrap_or(u32::MAX);
            for scope in risky(act) {
                self.known.insert(self.place(scope), day);
            }
        }
    }

    /// What it asked for was denied. `by_rule`: for what it asked, and not for what is missing around it.
    pub fn denied(&mut self, limits: &Limits, act: &Act<'_>, by_rule: bool, now: Timestamp) -> Noted {
        if !limits.enabled {
            return Noted::default();
        }
        let at = seconds(now);
        // Nothing was moved.
        self.bytes.take_back(at, act.bytes);
        self.items.take_back(at, act.items);
        let raised = if by_rule {
            let value = self.denies.add(at, act.times);
            self.judge(limits, Count::Denies, value, at)
        } else {
            Signals::NONE
        };
        Noted { signals: self.up_at(at), raised }
    }

    /// It says that it moved so much more than it had said before.
    pub fn reported(&mut self, limits: &Limits, bytes: u64, items: u64, now: Timestamp) -> Noted {
        if !limits.enabled {
            return Noted::default();
        }
        let at = seconds(now);
        let raised = self.moved(limits, bytes, items, at);
        Noted { signals: self.up_at(at), raised }
    }

    /// The signals that are up.
    #[must_use]
    pub fn up(&self, now: Timestamp) -> Signals {
        self.up_at(seconds(now))
    }

    /// Each of the signals that are up.
    pub fn told(&self, now: Timestamp) -> impl Iterator<Item = Told> {
        let at = seconds(now);
        self.up_at(at).iter().filter_map(|signal| {
            let up = self.up.get(signal as usize)?;
            Some(Told {
                signal,
                seen: up.seen,
                usual: up.usual,
                limit: up.limit,
                since: instant(up.since),
                until: instant(up.until),
            })
        })
    }

    /// What other counters of the same agent and seed know, too: of an earlier time.
    pub fn absorb(&mut self, earlier: &Self) {
        self.rate.absorb(&earlier.rate);
        self.burst.absorb(&earlier.burst);
        self.denies.absorb(&earlier.denies);
        self.off_hours.absorb(&earlier.off_hours);
        self.bytes.absorb(&earlier.bytes);
        self.items.absorb(&earlier.items);
        self.spread.absorb(&earlier.spread);
        self.days.absorb(&earlier.days);
        self.known.absorb(&earlier.known);
        for (own, earlier) in self.up.iter_mut().zip(&earlier.up) {
            if earlier.until > own.until {
                *own = *earlier;
            }
        }
    }

    /// Whether something risky is among it that it was never allowed before, and that nobody names.
    fn is_first(&self, limits: &Limits, act: &Act<'_>, by_name: impl Fn(&Scope) -> bool) -> bool {
        limits.first_seen
            && self.days.before() >= limits.learning_days
            && risky(act).any(|scope| !self.known.contains(self.place(scope)) && !by_name(scope))
    }

    fn moved(&mut self, limits: &Limits, bytes: u64, items: u64, at: u64) -> Signals {
        let mut raised = Signals::NONE;
        if bytes > 0 {
            let value = self.bytes.add(at, bytes);
            raised = raised.and(self.judge(limits, Count::Bytes, value, at));
        }
        if items > 0 {
            let value = self.items.add(at, items);
            raised = raised.and(self.judge(limits, Count::Items, value, at));
        }
        raised
    }

    /// It is at work; outside of the hours it is noticed, and what is noticed does not become usual. What cannot be
    /// undone never does.
    fn works(&mut self, limits: &Limits, times: u64, risky: bool, now: Timestamp) -> Signals {
        let at = seconds(now);
        let usual = !risky && self.days.usual_at(at) >= limits.learning_days;
        if limits.working_hours.is_empty() || self.hours.open(limits, now) || usual {
            self.days.at_work(at);
            return Signals::NONE;
        }
        let weight = if risky { limits.off_hours.saturating_add(1) } else { times };
        let seen = self.off_hours.add(at, weight);
        if seen > limits.off_hours {
            return self.raise(limits, Signal::OffHours, seen, None, limits.off_hours, at);
        }
        self.days.at_work(at);
        Signals::NONE
    }

    /// Holds a count against the limits and the past.
    fn judge(&mut self, limits: &Limits, count: Count, value: u64, at: u64) -> Signals {
        let place = count as usize;
        let usual = (self.days.before() >= limits.learning_days).then(|| self.days.usual(place));
        let bar = count.bound(limits).bar(usual, limits.factor);
        self.days.learn(place, value.min(bar));
        if value > bar { self.raise(limits, count.signal(), value, usual, bar, at) } else { Signals::NONE }
    }

    fn raise(
        &mut self,
        limits: &Limits,
        signal: Signal,
        seen: u64,
        usual: Option<u64>,
        limit: u64,
        at: u64,
    ) -> Signals {
        let until = at.saturating_add(limits.holds.as_secs().try_into().unwrap_or(0));
        let Some(up) = self.up.get_mut(signal as usize) else { return Signals::NONE };
        if up.since <= at && at < up.until {
            *up = Up { seen: seen.max(up.seen), usual, limit, until, ..*up };
            return Signals::NONE;
        }
        *up = Up { seen, usual, limit, since: at, until };
        Signals::NONE.with(signal)
    }

    /// The signals that a decision about one question sees: a resource that was seen before is no news because another is.
    fn up_for_one(&self, first: bool, at: u64) -> Signals {
        let up = self.up_at(at).without(Signal::FirstSeen);
        if first { up.with(Signal::FirstSeen) } else { up }
    }

    fn up_at(&self, at: u64) -> Signals {
        // What was raised on a clock that has been set back since is not up for longer than it would have been.
        let is_up =
            |up: &Up| at < up.until && up.since <= at.saturating_add(up.until.saturating_sub(up.since));
        Signal::ALL.into_iter().filter(|signal| self.up.get(*signal as usize).is_some_and(is_up)).collect()
    }

    /// Where something risky is done, as precisely as it is remembered.
    fn place(&self, scope: &Scope) -> u64 {
        let context = scope.context_text();
        let kept = match scope.context() {
            ScopeContext::Path(path) => {
                path.match_indices('/').nth(SEGMENTS).and_then(|(end, _)| path.get(..end)).unwrap_or(context)
            }
            ScopeContext::Any | ScopeContext::Pairs(_) => context,
        };
        self.hash(scope.resource(), kept)
    }

    fn hash(&self, resource: &str, context: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(resource.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(context.as_bytes());
        hasher.finish()
    }
}

impl Hours {
    /// Whether any working hours are open.
    fn open(&mut self, limits: &Limits, now: Timestamp) -> bool {
        let at = seconds(now);
        if !(self.from..self.until).contains(&at) {
            let closes = limits.working_hours.iter().filter_map(|window| window.open_until(now)).max();
            let opens = || limits.working_hours.iter().filter_map(|window| window.opens_after(now)).min();
            let until = closes.or_else(opens).map_or(at.saturating_add(AN_HOUR), seconds);
            *self = Self { open: closes.is_some(), from: at, until };
        }
        self.open
    }
}

impl Count {
    fn bound(self, limits: &Limits) -> Bound {
        match self {
            Self::Rate => limits.rate,
            Self::Burst => limits.burst,
            Self::Bytes => limits.bytes,
            Self::Items => limits.items,
            Self::Spread => limits.spread,
            Self::Denies => limits.denies,
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Rate => Signal::Rate,
            Self::Burst => Signal::Burst,
            Self::Bytes | Self::Items => Signal::Volume,
            Self::Spread => Signal::Spread,
            Self::Denies => Signal::Denies,
        }
    }
}

fn risky<'a>(act: &Act<'a>) -> impl Iterator<Item = &'a Scope> {
    let catalogue = act.catalogue;
    act.scopes.iter().filter(move |scope| catalogue.risk(scope).is_high())
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

fn instant(seconds: u64) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
impl Counters {
    pub(super) fn known_resources(&self) -> usize {
        self.known.len()
    }

    pub(super) fn hash_of(&self, context: &str) -> u64 {
        self.hash("files", context)
    }
}
