//! An agent's own past: the most of each count on the days before today, and the hours at which it was at work.

/// How many days are looked back on, today among them.
pub(super) const DAYS: usize = 15;
/// How many counts are kept.
pub(super) const COUNTS: usize = 6;
/// Seconds of a day, and of an hour.
const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

/// The last days.
#[derive(Debug, Clone)]
pub(super) struct Days {
    today: u64,
    /// Whether it was at work today (the lowest bit), yesterday, and so on.
    active: u16,
    /// The most of each count, by the number of the day.
    highs: [[u64; DAYS]; COUNTS],
    /// For each hour of the day (UTC), the days on which it was at work then, as in `active`.
    hours: [u16; 24],
}

impl Days {
    /// No past yet.
    pub(super) const fn new() -> Self {
        Self { today: 0, active: 0, highs: [[0; DAYS]; COUNTS], hours: [0; 24] }
    }

    /// It is at work at `now`.
    pub(super) fn begin(&mut self, now: u64) {
        self.advance(now / DAY);
        self.active |= 1;
    }

    /// This is an hour at which it works.
    pub(super) fn at_work(&mut self, now: u64) {
        let hour = usize::try_from(now % DAY / HOUR).unwrap_or(0);
        if let Some(days) = self.hours.get_mut(hour) {
            *days |= 1;
        }
    }

    /// On how many of the days before it was at work at this time of day, give or take an hour.
    pub(super) fn usual_at(&self, now: u64) -> u32 {
        let hour = now % DAY / HOUR;
        let near = [hour + 23, hour, hour + 1].map(|hour| usize::try_from(hour % 24).unwrap_or(0));
        let days = near.iter().filter_map(|hour| self.hours.get(*hour)).fold(0, |all, days| all | days);
        (days >> 1).count_ones()
    }

    /// On how many of the days before it was at work.
    pub(super) fn before(&self) -> u32 {
        (self.active >> 1).count_ones()
    }

    /// The most of a count on the days before.
    pub(super) fn usual(&self, count: usize) -> u64 {
        let today = slot(self.today);
        let Some(highs) = self.highs.get(count) else { return 0 };
        highs.iter().enumerate().filter(|(day, _)| *day != today).map(|(_, high)| *high).max().unwrap_or(0)
    }

    /// So much of a count was usual today.
    pub(super) fn learn(&mut self, count: usize, value: u64) {
        if let Some(high) = self.highs.get_mut(count).and_then(|days| days.get_mut(slot(self.today))) {
            *high = (*high).max(value);
        }
    }

    /// What another one learned, too.
    pub(super) fn absorb(&mut self, other: &Self) {
        let mut other = other.clone();
        let today = self.today.max(other.today);
        self.advance(today);
        other.advance(today);
        self.active |= other.active;
        self.hours.iter_mut().zip(other.hours).for_each(|(own, days)| *own |= days);
        for (own, days) in self.highs.iter_mut().zip(other.highs) {
            own.iter_mut().zip(days).for_each(|(own, high)| *own = (*own).max(high));
        }
    }

    /// A day that is over is never today again: a clock that was set back stands still until it has caught up.
    fn advance(&mut self, day: u64) {
        let Some(passed) = day.checked_sub(self.today).filter(|passed| *passed > 0) else { return };
        let by = u32::try_from(passed).unwrap_or(u32::MAX);
        self.active = later(self.active, by);
        self.hours = self.hours.map(|days| later(days, by));
        for gone in 1..=passed.min(DAYS as u64) {
            let at = slot(self.today + gone);
            self.highs.iter_mut().filter_map(|days| days.get_mut(at)).for_each(|high| *high = 0);
        }
        self.today = day;
    }
}

fn slot(day: u64) -> usize {
    usize::try_from(day % DAYS as u64).unwrap_or(0)
}

/// Days on which something was so, seen so many days later.
fn later(days: u16, by: u32) -> u16 {
    days.checked_shl(by).unwrap_or(0) & ((1 << DAYS) - 1)
}
