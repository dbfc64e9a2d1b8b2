//! How many different resources there were within the last hour, counted in a fixed space.
//!
//! Two bitmaps of half an hour each: a resource sets the bit that its hash says. How many there were follows from how many
//! bits are set: each new one adds the reciprocal of the chance that a new resource finds a free bit. The count is exact
//! to a few parts in a hundred up to some thousands, and goes on growing beyond.

/// Bits in a map.
const BITS: u64 = 4096;
const WORDS: usize = 64;
/// How long a map is written to, in seconds.
const HALF: u64 = 1800;
/// The count has this many binary digits behind the point.
const POINT: u32 = 16;

/// Different resources of an hour.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    half: u64,
    now: [u64; WORDS],
    before: [u64; WORDS],
    set: u64,
    count: u64,
}

impl Spread {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self { half: 0, now: [0; WORDS], before: [0; WORDS], set: 0, count: 0 }
    }

    /// The resource of this hash at `now`; how many there were within the hour.
    pub(super) fn add(&mut self, now: u64, hash: u64) -> u64 {
        self.advance(now / HALF);
        let bit = hash % BITS;
        let (word, mask) = (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64));
        let earlier = self.before.get(word).is_some_and(|word| word & mask != 0);
        if let Some(word) = self.now.get_mut(word)
            && *word & mask == 0
        {
            *word |= mask;
            if !earlier {
                self.count = self.count.saturating_add(worth(self.set));
                self.set += 1;
            }
        }
        self.seen()
    }

    /// How many there were.
    pub(super) fn seen(&self) -> u64 {
        (self.count + (1 << (POINT - 1))) >> POINT
    }

    /// What another one counted, too.
    pub(super) fn absorb(&mut self, other: &Self) {
        let mut other = other.clone();
        let newest = self.half.max(other.half);
        self.advance(newest);
        other.advance(newest);
        let both = |ours: &mut [u64; WORDS], theirs: &[u64; WORDS]| {
            ours.iter_mut().zip(theirs).for_each(|(own, word)| *own |= word);
        };
        both(&mut self.now, &other.now);
        both(&mut self.before, &other.before);
        self.recount();
    }

    fn advance(&mut self, half: u64) {
        if half == self.half || half + 1 == self.half {
            return;
        }
        self.before = if half == self.half + 1 { self.now } else { [0; WORDS] };
        self.now = [0; WORDS];
        self.half = half;
        self.recount();
    }

    fn recount(&mut self) {
        self.set =
            self.now.iter().zip(&self.before).map(|(one, other)| u64::from((one | other).count_ones())).sum();
        self.count = (0..self.set).map(worth).sum();
    }
}

/// How many resources it takes to set one more bit where so many are set.
fn worth(set: u64) -> u64 {
    (BITS << POINT) / BITS.saturating_sub(set).max(1)
}
