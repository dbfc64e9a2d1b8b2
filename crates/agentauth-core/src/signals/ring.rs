//! A count over the last while: a fixed ring of spans of time.

/// How much there was in the last `N` spans of time.
#[derive(Debug, Clone)]
pub(super) struct Ring<const N: usize> {
    /// How long a span is, in seconds.
    span: u64,
    /// The number of the newest span.
    newest: u64,
    counts: [u64; N],
    sum: u64,
}

impl<const N: usize> Ring<N> {
    /// Nothing yet, in spans of so many seconds.
    pub(super) const fn of(span: u64) -> Self {
        Self { span, newest: 0, counts: [0; N], sum: 0 }
    }

    /// So much more at `now`; how much that makes.
    pub(super) fn add(&mut self, now: u64, count: u64) -> u64 {
        self.advance(now);
        let at = self.at(self.newest);
        if let Some(slot) = self.counts.get_mut(at) {
            let more = slot.saturating_add(count) - *slot;
            *slot += more;
            self.sum = self.sum.saturating_add(more);
        }
        self.sum
    }

    /// So much of what was added at `now` was not so.
    pub(super) fn take_back(&mut self, now: u64, count: u64) {
        self.advance(now);
        let at = self.at(self.newest);
        if let Some(slot) = self.counts.get_mut(at) {
            let less = count.min(*slot);
            *slot -= less;
            self.sum = self.sum.saturating_sub(less);
        }
    }

    /// What another ring of the same spans counted, too.
    pub(super) fn absorb(&mut self, other: &Self) {
        if other.newest > self.newest {
            self.advance(other.newest * self.span);
        }
        for back in 0..N as u64 {
            let Some(number) = other.newest.checked_sub(back) else { break };
            if number + N as u64 > self.newest
                && let Some(count) = other.counts.get(other.at(number))
                && let at = self.at(number)
                && let Some(slot) = self.counts.get_mut(at)
            {
                *slot = slot.saturating_add(*count);
                self.sum = self.sum.saturating_add(*count);
            }
        }
    }

    /// Forgets what is too long ago at `now`. A clock that was set back by little stands still; by much, and the count
    /// begins anew.
    fn advance(&mut self, now: u64) {
        let number = now / self.span;
        let length = N as u64;
        if number + length < self.newest || number >= self.newest + length {
            (self.counts, self.sum, self.newest) = ([0; N], 0, number);
        }
        while self.newest < number {
            self.newest += 1;
            let at = self.at(self.newest);
            if let Some(slot) = self.counts.get_mut(at) {
                self.sum = self.sum.saturating_sub(*slot);
                *slot = 0;
            }
        }
    }

    fn at(&self, number: u64) -> usize {
        usize::try_from(number % N as u64).unwrap_or(0)
    }
}
