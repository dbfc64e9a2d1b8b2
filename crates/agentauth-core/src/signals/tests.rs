//! What raises a signal, what does not, and what stays bounded.

use proptest::prelude::*;

use super::known::Known;
use super::ring::Ring;
use super::spread::Spread;
use super::*;
use crate::catalogue::Catalogue;
use crate::scope::Scope;
use crate::time::{SignedDuration, Timestamp};

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// A Monday, 00:00 UTC.
const MONDAY: i64 = 1_800_230_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn office() -> Limits {
    let burst = Bound { floor: 30, most: 300 };
    Limits { burst, working_hours: vec!["mon-fri 07:00-19:00 UTC".parse().unwrap()], ..Limits::default() }
}

/// An agent under test: every question is allowed unless it is told otherwise.
struct Subject {
    counters: Counters,
    limits: Limits,
    catalogue: Catalogue,
    raised: Vec<(i64, Signal)>,
}

impl Subject {
    fn new(limits: Limits) -> Self {
        Self {
            counters: Counters::new(7),
            limits,
            catalogue: Catalogue::shipped().unwrap(),
            raised: Vec::new(),
        }
    }

    fn ask(&mut self, scope: &str, bytes: u64, now: i64) -> Signals {
        self.ask_for(&[scope.parse().unwrap()], bytes, 0, false, now)
    }

    fn ask_for(&mut self, scopes: &[Scope], bytes: u64, items: u64, by_name: bool, now: i64) -> Signals {
        let act = Act { scopes, catalogue: &self.catalogue, bytes, items, times: 1 };
        let noted = self.counters.asks(&self.limits, &act, |_| by_name, at(now));
        self.raised.extend(noted.raised.iter().map(|signal| (now, signal)));
        self.counters.allowed(&self.limits, &act, at(now));
        noted.signals
    }

    fn denied(&mut self, scope: &str, now: i64) -> Signals {
        let scopes = [scope.parse().unwrap()];
        let act = Act { scopes: &scopes, catalogue: &self.catalogue, bytes: 0, items: 0, times: 1 };
        let noted = self.counters.asks(&self.limits, &act, |_| false, at(now));
        let after = self.counters.denied(&self.limits, &act, true, at(now));
        self.raised.extend(noted.raised.and(after.raised).iter().map(|signal| (now, signal)));
        after.signals
    }

    /// A quiet past of so many days: ten reads an hour in the office.
    fn quiet_days(&mut self, days: i64) {
        for day in 0..days {
            for question in 0..80 {
                let now = MONDAY + day * DAY + 8 * HOUR + question * 360;
                self.ask(&format!("files.read:/projects/{}", question % 20), 10_000, now);
            }
            self.ask("email.send:domain=example.com", 2_000, MONDAY + day * DAY + 9 * HOUR);
        }
    }

    fn kinds(&self) -> Signals {
        self.raised.iter().map(|(_, signal)| *signal).collect()
    }
}

#[test]
fn words_are_those_of_serde_and_sets_are_sets() {
    for signal in Signal::ALL {
        assert_eq!(serde_json::to_value(signal).unwrap(), signal.as_str());
        assert!(Signals::NONE.with(signal).contains(signal));
        assert!(Signals::from_iter(Signal::ALL).without(signal).iter().all(|other| other != signal));
    }
    let two: Signals = serde_json::from_str(r#"["burst", "rate"]"#).unwrap();
    assert_eq!(two.iter().collect::<Vec<_>>(), [Signal::Rate, Signal::Burst]);
}

/// Each abuse is staged on the fifth morning of a quiet agent, and is seen by the very question that goes too far.
#[test]
fn each_abuse_raises_its_own_signal_within_the_minute() {
    let morning = MONDAY + 4 * DAY + 10 * HOUR;
    let staged = |what: &dyn Fn(&mut Subject)| {
        let mut subject = Subject::new(office());
        subject.quiet_days(4);
        assert_eq!(subject.raised, [], "nothing of the past was unusual");
        what(&mut subject);
        assert!(subject.raised.iter().all(|(when, _)| *when < morning + 60 || *when > morning + HOUR));
        subject.kinds()
    };
    let only = |signal| Signals::NONE.with(signal);
    assert_eq!(
        staged(&|subject| {
            for question in 0..300 {
                let up = subject.ask("files.read:/projects/1", 0, morning + question / 6);
                assert_eq!(up.contains(Signal::Rate), question >= 240, "{question}");
            }
        }),
        only(Signal::Rate)
    );
    assert_eq!(
        staged(&|subject| {
            assert!(subject.ask("files.read:/projects/1", 60 << 20, morning).is_empty());
            assert!(subject.ask("files.read:/projects/1", 5 << 20, morning + 1).contains(Signal::Volume));
        }),
        only(Signal::Volume)
    );
    assert_eq!(
        staged(&|subject| {
            for question in 0..230 {
                subject.ask(&format!("files.read:/projects/other/{question}"), 0, morning + question / 6);
            }
        }),
        only(Signal::Spread)
    );
    assert_eq!(
        staged(&|subject| {
            for question in 0..31 {
                let up = subject.ask("files.write:/projects/1", 0, morning + question / 2);
                assert_eq!(up.contains(Signal::Burst), question >= 30, "{question}");
            }
        }),
        only(Signal::Burst)
    );
    assert_eq!(
        staged(&|subject| {
            for question in 0..31 {
                let up = subject.denied("files.read:/etc", morning + question);
                assert_eq!(up.contains(Signal::Denies), question >= 30, "{question}");
            }
        }),
        only(Signal::Denies)
    );
    assert_eq!(
        staged(&|subject| {
            assert!(subject.ask("email.send:domain=example.com", 0, morning).is_empty());
            assert!(
                subject.ask("email.send:domain=evil.example", 0, morning + 1).contains(Signal::FirstSeen)
            );
            assert!(
                subject.ask("email.send:domain=example.com", 0, morning + 2).is_empty(),
                "of that one only"
            );
        }),
        only(Signal::FirstSeen)
    );
    let night = MONDAY + 4 * DAY + 2 * HOUR;
    let mut subject = Subject::new(office());
    subject.quiet_days(4);
    for question in 0..21 {
        let up = subject.ask("files.read:/projects/1", 0, night + question);
        assert_eq!(up.contains(Signal::OffHours), question >= 20, "{question}");
    }
    let mut risky = Subject::new(office());
    risky.quiet_days(4);
    assert!(
        risky.ask("email.send:domain=example.com", 0, night).contains(Signal::OffHours),
        "one is too many"
    );
}

#[test]
fn a_signal_is_told_once_stays_up_for_its_time_and_is_not_learned() {
    let mut subject = Subject::new(office());
    subject.quiet_days(4);
    let morning = MONDAY + 4 * DAY + 10 * HOUR;
    for question in 0..100 {
        subject.ask("files.write:/projects/1", 0, morning + question / 4);
    }
    assert_eq!(subject.raised.len(), 1, "{:?}", subject.raised);
    let told: Vec<_> = subject.counters.told(at(morning + 30)).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].signal, told[0].seen, told[0].usual), (Signal::Burst, 100, Some(1)));
    assert_eq!(told[0].until, at(morning + 24 + 15 * 60));
    assert!(!subject.counters.up(at(morning + 24 + 15 * 60 - 1)).is_empty());
    assert!(subject.counters.up(at(morning + 24 + 15 * 60)).is_empty());
    // The next day the same is as unusual as it was, but for the factor on what was still usual.
    for question in 0..100 {
        subject.ask("files.write:/projects/1", 0, morning + DAY + question / 4);
    }
    assert_eq!(subject.raised.last().unwrap().1, Signal::Burst);
}

#[test]
fn an_agents_own_past_raises_its_bar() {
    let mut subject = Subject::new(Limits::default());
    for day in 0..4 {
        for question in 0..25 {
            subject.ask("files.write:/projects/1", 0, MONDAY + day * DAY + 10 * HOUR + question);
        }
    }
    for question in 0..76 {
        let up = subject.ask("files.write:/projects/1", 0, MONDAY + 4 * DAY + 10 * HOUR + question / 4);
        assert_eq!(up.contains(Signal::Burst), question >= 75, "three times what it did: {question}");
    }
}

#[test]
fn who_works_at_night_is_not_noticed_for_it_unless_it_is_risky() {
    let mut subject = Subject::new(office());
    for day in 0..4 {
        for question in 0..15 {
            subject.ask("files.read:/projects/1", 0, MONDAY + day * DAY + 2 * HOUR + question * 60);
        }
    }
    let night = MONDAY + 4 * DAY + 2 * HOUR;
    for question in 0..40 {
        assert!(subject.ask("files.read:/projects/1", 0, night + question * 60).is_empty());
    }
    assert!(subject.ask("files.delete:/projects/1", 0, night + 3000).contains(Signal::OffHours));
}

#[test]
fn what_the_person_allowed_by_name_is_no_news_and_what_was_never_allowed_stays_news() {
    let mut subject = Subject::new(Limits::default());
    subject.quiet_days(4);
    let now = MONDAY + 4 * DAY;
    let new: Scope = "email.send:domain=new.example".parse().unwrap();
    assert!(subject.ask_for(std::slice::from_ref(&new), 0, 0, true, now).is_empty());
    for again in 0..3 {
        let now = now + again * HOUR;
        assert!(
            subject.denied("email.send:domain=evil.example", now).contains(Signal::FirstSeen) || again > 0
        );
        let scopes = ["email.send:domain=evil.example".parse().unwrap()];
        let act = Act { scopes: &scopes, catalogue: &subject.catalogue, bytes: 0, items: 0, times: 1 };
        let noted = subject.counters.asks(&subject.limits, &act, |_| false, at(now + 1));
        assert!(noted.signals.contains(Signal::FirstSeen), "{again}");
    }
}

#[test]
fn what_was_denied_has_moved_nothing_and_what_is_reported_counts() {
    let mut subject = Subject::new(Limits::default());
    let scopes = ["files.read:/a".parse().unwrap()];
    for question in 0..100 {
        let act = Act { scopes: &scopes, catalogue: &subject.catalogue, bytes: 1 << 30, items: 0, times: 1 };
        let noted = subject.counters.asks(&subject.limits, &act, |_| false, at(MONDAY + question));
        assert!(!noted.signals.contains(Signal::Volume), "{question}");
        subject.counters.denied(&subject.limits, &act, false, at(MONDAY + question));
    }
    let limits = subject.limits.clone();
    assert!(subject.counters.reported(&limits, 2 << 30, 0, at(MONDAY + 200)).signals.is_empty());
    assert!(subject.counters.reported(&limits, 1, 0, at(MONDAY + 201)).signals.contains(Signal::Volume));
}

#[test]
fn a_restart_takes_nothing_back() {
    let morning = MONDAY + 4 * DAY + 10 * HOUR;
    let mut before = Subject::new(office());
    before.quiet_days(4);
    for question in 0..20 {
        before.ask("files.write:/projects/1", 0, morning + question / 10);
    }
    // What was learned from the record comes in when the agent is at it again already.
    let mut after = Subject::new(office());
    for question in 0..5 {
        assert!(after.ask("files.write:/projects/1", 0, morning + 5 + question).is_empty());
    }
    after.counters.absorb(&before.counters);
    for question in 25..31 {
        let up = after.ask("files.write:/projects/1", 0, morning + 12);
        assert_eq!(up.contains(Signal::Burst), question >= 30, "{question}");
    }
    assert!(
        after.ask("email.send:domain=example.com", 0, morning + 13).iter().all(|it| it != Signal::FirstSeen)
    );
    let mut again = Subject::new(office());
    again.counters.absorb(&after.counters);
    assert!(again.counters.up(at(morning + 14)).contains(Signal::Burst));
}

#[test]
fn nothing_is_counted_where_it_is_switched_off() {
    let mut subject = Subject::new(Limits { enabled: false, ..office() });
    for question in 0..10_000 {
        assert!(subject.ask("email.send:domain=a.example", 1 << 40, MONDAY + question / 100).is_empty());
    }
}

/// Days in an office: bursts of reading and writing, meetings, lunch, a handful of domains, now and then a deny.
fn normal_days(seed: u64, days: i64) -> Vec<(i64, Signal)> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut subject = Subject::new(office());
    let mut domains = vec!["example.com".to_owned()];
    for day in (0..days).filter(|day| day % 7 < 5) {
        let mut now = MONDAY + day * DAY + 8 * HOUR + draw(3600) as i64;
        let evening = MONDAY + day * DAY + 17 * HOUR + draw(3600) as i64;
        while now < evening {
            for _ in 0..=draw(12) {
                let place = draw(30);
                let scope = match draw(20) {
                    0 => {
                        // A new correspondent is one that the person is asked about.
                        let new = draw(40) == 0;
                        if new {
                            domains.push(format!("d{}.example", domains.len()));
                        }
                        let domain = &domains[draw(domains.len() as u64) as usize];
                        let scope: Scope = format!("email.send:domain={domain}").parse().unwrap();
                        subject.ask_for(&[scope], draw(20_000), 1, true, now);
                        continue;
                    }
                    1 if draw(4) == 0 => {
                        subject.denied("files.read:/etc", now);
                        continue;
                    }
                    2..=5 => format!("files.write:/projects/alpha/{place}"),
                    _ => format!("files.read:/projects/alpha/{place}"),
                };
                subject.ask(&scope, draw(200_000), now);
                now += draw(5) as i64;
            }
            now += if draw(15) == 0 { 1800 + draw(3600) as i64 } else { 5 + draw(300) as i64 };
        }
    }
    subject.raised
}

#[test]
fn a_normal_week_raises_none_and_no_normal_month_does() {
    for seed in 1..=40 {
        assert_eq!(normal_days(seed, 14), [], "seed {seed}");
    }
    for seed in 41..=43 {
        assert_eq!(normal_days(seed, 90), [], "seed {seed}");
    }
}

/// Months of two hundred agents, each of which goes to ever new places, some of them risky: what is kept of them has its
/// size on the first day.
#[test]
fn months_of_many_agents_take_no_more_memory_than_a_day() {
    const AGENTS: u64 = 200;
    const DAYS: i64 = 90;
    const KNOWN: usize = 512;
    let limits = office();
    let catalogue = Catalogue::shipped().unwrap();
    let mut agents: Vec<Counters> = (0..AGENTS).map(Counters::new).collect();
    let mut most = 0;
    for day in 0..DAYS {
        for (number, counters) in agents.iter_mut().enumerate() {
            for question in 0..10 {
                let place = (day * 10 + question) as usize;
                let scopes = [
                    format!("email.send:domain=d{place}.of-{number}.example").parse().unwrap(),
                    format!("files.read:/projects/{number}/{place}").parse().unwrap(),
                ];
                let act = Act { scopes: &scopes, catalogue: &catalogue, bytes: 1000, items: 1, times: 1 };
                let now = at(MONDAY + day * DAY + 8 * HOUR + question * 600);
                counters.asks(&limits, &act, |_| question % 2 == 0, now);
                match question % 5 {
                    4 => drop(counters.denied(&limits, &act, true, now)),
                    _ => counters.allowed(&limits, &act, now),
                }
                counters.reported(&limits, 2000, 2, now);
            }
            let known = counters.known_resources();
            assert!(known <= KNOWN, "agent {number} on day {day}: {known}");
            most = most.max(known);
        }
    }
    assert_eq!(most, KNOWN, "the bound was reached");
    // Nothing else of it is on the heap: to count more takes no more.
    assert!(size_of::<Counters>() <= 4096, "{}", size_of::<Counters>());
    for counters in &agents {
        let up = counters.up(at(MONDAY + DAYS * DAY + 8 * HOUR));
        assert!(up.is_empty(), "a night later it is over: {:?}", up.iter().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked and whenever, the counters hold no more than they do, and never overflow.
    #[test]
    fn memory_is_bounded_whatever_is_asked(
        asks in prop::collection::vec((0u32..5000, any::<i32>(), any::<u64>(), any::<bool>()), 1..2000)
    ) {
        let mut subject = Subject::new(office());
        for (place, offset, bytes, deny) in asks {
            let now = MONDAY + i64::from(offset);
            let scope = format!("email.send:domain=d{place}.example");
            if deny { subject.denied(&scope, now); } else { subject.ask(&scope, bytes, now); }
        }
        prop_assert!(subject.counters.known_resources() <= 512);
        prop_assert!(size_of::<Counters>() <= 4096, "{}", size_of::<Counters>());
    }

    /// Below every floor there is never a signal, whatever came before.
    #[test]
    fn nothing_below_the_floor_is_a_signal(
        asks in prop::collection::vec((0u32..40, 0i64..30, any::<bool>()), 1..400)
    ) {
        let mut subject = Subject::new(Limits { first_seen: false, ..Limits::default() });
        let mut now = MONDAY;
        for (place, gap, write) in asks {
            // No more than a write every four seconds, and no more than forty things.
            now += 4 + gap;
            let action = if write { "write" } else { "read" };
            let up = subject.ask(&format!("files.{action}:/projects/{place}"), 1000, now);
            prop_assert!(up.is_empty(), "{:?}", up);
        }
    }

    /// The ring says what a list of everything would say, for the spans that it covers.
    #[test]
    fn a_ring_is_a_sum_over_its_spans(adds in prop::collection::vec((0u64..40, 0u64..100), 1..200)) {
        let mut ring = Ring::<6>::of(10);
        let (mut now, mut all) = (1_000_000, Vec::new());
        for (gap, count) in adds {
            now += gap;
            all.push((now / 10, count));
            let expected: u64 =
                all.iter().filter(|(span, _)| span + 6 > now / 10).map(|(_, count)| count).sum();
            prop_assert_eq!(ring.add(now, count), expected);
        }
    }

    /// Counting different resources is right to a tenth.
    #[test]
    fn different_resources_are_counted_well_enough(seed in any::<u64>(), different in 1u64..6000) {
        let mut spread = Spread::new();
        let counters = Counters::new(seed);
        for round in 0..2 {
            for resource in 0..different {
                spread.add(1000 + round, counters.hash_of(&format!("/{resource}")));
            }
        }
        let seen = spread.seen();
        prop_assert!(seen.abs_diff(different) <= different / 10 + 3, "{seen} of {different}");
    }
}

#[test]
fn an_hour_later_nothing_is_left_of_the_spread_and_known_resources_are_few() {
    let mut spread = Spread::new();
    for resource in 0..1000_u64 {
        spread.add(0, resource.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    assert!(spread.add(1800, 1) > 900);
    assert_eq!(spread.add(3 * 1800, 1), 1);
    let mut known = Known::new();
    for resource in 0..5000 {
        known.insert(resource, u32::try_from(resource).unwrap());
    }
    assert_eq!(known.len(), 512);
    assert!(known.contains(4999) && !known.contains(0), "the one that was not used for longest went");
}

#[test]
fn a_signal_is_up_for_a_while_only() {
    let limits = Limits {
        holds: SignedDuration::from_secs(10),
        rate: Bound { floor: 1, most: 1 },
        ..Limits::default()
    };
    let mut subject = Subject::new(limits);
    subject.ask("files.read:/a", 0, MONDAY);
    assert!(subject.ask("files.read:/a", 0, MONDAY + 1).contains(Signal::Rate));
    assert!(subject.counters.up(at(MONDAY + 10)).contains(Signal::Rate));
    assert!(subject.counters.up(at(MONDAY + 11)).is_empty());
}
