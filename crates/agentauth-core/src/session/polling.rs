//! Asking the provider whether a person has approved a login on another device (RFC 8628 section 3.5): when to ask again,
//! and when to stop.

use jiff::{SignedDuration, Timestamp};

/// The time between two questions where the provider names none (RFC 8628 section 3.2).
pub const DEFAULT_POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(5);

/// By how much `slow_down` lengthens the interval, for good (RFC 8628 section 3.5).
pub const SLOW_DOWN: SignedDuration = SignedDuration::from_secs(5);

/// Doubling after failures ends here: a short outage must not cost the rest of a code's life.
pub const LONGEST_POLL_BACKOFF: SignedDuration = SignedDuration::from_secs(60);

const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(1);
const LAST_MOMENT: SignedDuration = SignedDuration::from_secs(1);

/// What came of one question, tokens apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollAnswer {
    /// `authorization_pending`: the person has not answered yet.
    Pending,
    /// `slow_down`: the same, and the questions come too fast.
    SlowDown,
    /// `access_denied`.
    Denied,
    /// `expired_token`.
    Expired,
    /// Any other refusal.
    Refused,
    /// Nothing is known: no connection, no whole answer, an overload, or the page of something in between.
    Failed {
        /// The provider may have acted on the question, that is: the tokens may have been in the lost answer.
        sent: bool,
        /// How long the provider asks to be left alone.
        retry_after: Option<SignedDuration>,
    },
}

/// Why there is nothing more to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEnd {
    /// The person said no.
    Denied,
    /// The code's time is over.
    Expired,
    /// The provider refuses, and not because of the time.
    Refused,
    /// The provider refuses after an answer got lost: most likely the tokens were in that one.
    AnswerLost,
}

/// The asking for one code. Immutable: each answer gives the next state, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    interval: SignedDuration,
    failures: u32,
    unanswered: bool,
    deadline: Timestamp,
}

impl Polling {
    /// For a code that lives for `lifetime` from `now`, with the provider's `interval` if it names one.
    pub fn new(interval: Option<SignedDuration>, lifetime: SignedDuration, now: Timestamp) -> Self {
        Self {
            interval: interval.unwrap_or(DEFAULT_POLL_INTERVAL).max(SHORTEST_INTERVAL),
            failures: 0,
            unanswered: false,
            deadline: now.saturating_add(lifetime).unwrap_or(now),
        }
    }

    /// When the code's time is over; nothing is asked from then on.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// How long to wait before the next question, or [`PollEnd::Expired`] when it would come too late.
    ///
    /// # Errors
    /// The end of the asking.
    pub fn wait(&self, now: Timestamp) -> Result<SignedDuration, PollEnd> {
        self.wait_at_least(SignedDuration::ZERO, now)
    }

    /// What an answer that came at `now` means: the next state and how long to wait in it.
    ///
    /// `slow_down` makes the interval longer for good. A failure doubles it up to [`LONGEST_POLL_BACKOFF`] until an answer
    /// comes, and is followed by at least one more question as long as the code lives. Every other refusal ends the asking.
    ///
    /// # Errors
    /// The end of the asking.
    pub fn after(self, answer: PollAnswer, now: Timestamp) -> Result<(Self, SignedDuration), PollEnd> {
        let (next, asked) = match answer {
            PollAnswer::Denied => return Err(PollEnd::Denied),
            PollAnswer::Expired => return Err(PollEnd::Expired),
            PollAnswer::Refused if self.unanswered => return Err(PollEnd::AnswerLost),
            PollAnswer::Refused => return Err(PollEnd::Refused),
            // Whoever is still asked to wait has not missed the tokens.
            PollAnswer::Pending => (Self { failures: 0, unanswered: false, ..self }, SignedDuration::ZERO),
            PollAnswer::SlowDown => {
                let interval = self.interval.saturating_add(SLOW_DOWN);
                (Self { interval, failures: 0, unanswered: false, ..self }, SignedDuration::ZERO)
            }
            PollAnswer::Failed { sent, retry_after } => {
                let failures = self.failures.saturating_add(1);
                let unanswered = self.unanswered || sent;
                (Self { failures, unanswered, ..self }, retry_after.unwrap_or(SignedDuration::ZERO))
            }
        };
        Ok((next, next.wait_at_least(asked, now)?))
    }

    fn wait_at_least(&self, asked: SignedDuration, now: Timestamp) -> Result<SignedDuration, PollEnd> {
        let doubled = self.interval.saturating_mul(1 << self.failures.min(16)).min(LONGEST_POLL_BACKOFF);
        // Where backing off would miss the code's end, one question comes just before it.
        let last = self.deadline.duration_since(now).saturating_sub(LAST_MOMENT);
        let wait = doubled.min(last).max(self.interval).max(asked);
        if wait < self.deadline.duration_since(now) { Ok(wait) } else { Err(PollEnd::Expired) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILED: PollAnswer = PollAnswer::Failed { sent: false, retry_after: None };
    const LOST: PollAnswer = PollAnswer::Failed { sent: true, retry_after: None };

    fn start() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn polling(interval: i64, lifetime: i64) -> Polling {
        Polling::new(Some(secs(interval)), secs(lifetime), start())
    }

    fn secs(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    /// Gives these answers one after the other, each after the wait that was asked for.
    fn waits(mut polling: Polling, answers: &[PollAnswer]) -> (Vec<i64>, Option<PollEnd>) {
        let (mut now, mut waits) = (start(), Vec::new());
        let mut wait = polling.wait(now);
        for answer in answers {
            match wait {
                Ok(wait) => {
                    waits.push(wait.as_secs());
                    now += wait;
                }
                Err(end) => return (waits, Some(end)),
            }
            wait = match polling.after(*answer, now) {
                Ok((next, wait)) => {
                    polling = next;
                    Ok(wait)
                }
                Err(end) => Err(end),
            };
        }
        match wait {
            Ok(wait) => waits.push(wait.as_secs()),
            Err(end) => return (waits, Some(end)),
        }
        (waits, None)
    }

    #[test]
    fn the_interval_is_the_providers_and_slow_down_lengthens_it_for_good() {
        use PollAnswer::{Pending, SlowDown};
        let answers = [Pending, SlowDown, Pending, SlowDown, Pending, Pending];
        assert_eq!(waits(polling(3, 600), &answers), (vec![3, 3, 8, 8, 13, 13, 13], None));
        let unnamed = Polling::new(None, secs(600), start());
        assert_eq!(unnamed.wait(start()), Ok(secs(5)));
        assert_eq!(polling(0, 600).wait(start()), Ok(secs(1)), "never without a pause");
    }

    #[test]
    fn failures_double_the_wait_until_an_answer_comes() {
        use PollAnswer::{Pending, SlowDown};
        let answers = [FAILED, FAILED, LOST, FAILED, FAILED, Pending, FAILED, SlowDown, FAILED];
        let expected = vec![5, 10, 20, 40, 60, 60, 5, 10, 10, 20];
        assert_eq!(waits(polling(5, 1_800), &answers), (expected, None));
        let busy = PollAnswer::Failed { sent: false, retry_after: Some(secs(90)) };
        assert_eq!(waits(polling(5, 600), &[busy, busy]), (vec![5, 90, 90], None));
    }

    #[test]
    fn each_end_is_told_apart() {
        use PollAnswer::{Denied, Expired, Pending, Refused};
        for (answers, end) in [
            (vec![Pending, Denied], PollEnd::Denied),
            (vec![Expired], PollEnd::Expired),
            (vec![Refused], PollEnd::Refused),
            (vec![FAILED, Refused], PollEnd::Refused),
            (vec![LOST, Refused], PollEnd::AnswerLost),
            (vec![LOST, FAILED, Refused], PollEnd::AnswerLost),
            (vec![LOST, Pending, Refused], PollEnd::Refused),
            (vec![LOST, Denied], PollEnd::Denied),
        ] {
            assert_eq!(waits(polling(5, 600), &answers).1, Some(end), "{answers:?}");
        }
    }

    #[test]
    fn the_end_of_the_code_is_the_end_of_the_asking() {
        let (asked, end) = waits(polling(5, 12), &[PollAnswer::Pending; 9]);
        assert_eq!((asked, end), (vec![5, 5], Some(PollEnd::Expired)));
        assert_eq!(polling(5, 0).wait(start()), Err(PollEnd::Expired));
        assert_eq!(polling(5, -5).wait(start()), Err(PollEnd::Expired));
        let long = PollAnswer::Failed { sent: false, retry_after: Some(secs(3_600)) };
        assert_eq!(polling(5, 60).after(long, start()), Err(PollEnd::Expired));
        // Forty seconds of backing off would miss the end by ten; a question just before it does not.
        assert_eq!(waits(polling(5, 66), &[FAILED; 4]), (vec![5, 10, 20, 30], Some(PollEnd::Expired)));
    }

    fn answers() -> impl Strategy<Value = PollAnswer> {
        prop_oneof![
            4 => Just(PollAnswer::Pending),
            1 => Just(PollAnswer::SlowDown),
            3 => (any::<bool>(), proptest::option::of(0_i64..100)).prop_map(|(sent, retry_after)| {
                PollAnswer::Failed { sent, retry_after: retry_after.map(SignedDuration::from_secs) }
            }),
        ]
    }

    proptest! {
        #[test]
        fn never_faster_than_allowed_and_never_after_the_end(
            interval in 0_i64..40,
            lifetime in 0_i64..2_000,
            delay in 0_i64..10,
            answers in proptest::collection::vec(answers(), 0..200),
        ) {
            let mut polling = polling(interval, lifetime);
            let deadline = polling.deadline();
            let (mut now, mut least) = (start(), interval.max(1));
            let mut wait = polling.wait(now);
            for answer in answers {
                let Ok(pause) = wait else {
                    prop_assert_eq!(wait, Err(PollEnd::Expired));
                    break;
                };
                prop_assert!(pause >= secs(least), "{} < {}", pause, least);
                prop_assert!(now + pause < deadline);
                now += pause + secs(delay);
                least += if answer == PollAnswer::SlowDown { 5 } else { 0 };
                wait = polling.after(answer, now).map(|(next, pause)| { polling = next; pause });
                if let (Ok(pause), PollAnswer::Failed { retry_after: Some(asked), .. }) = (wait, answer) {
                    prop_assert!(pause >= asked);
                }
                prop_assert_eq!(polling.deadline(), deadline);
            }
        }
    }
}
