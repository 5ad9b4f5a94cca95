//! Chance that a seed decides: the same history for the same number, on every machine and in every version.

/// SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).unwrap() + 1;
        low + i64::try_from(self.next() % width).unwrap()
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            all.swap(place, self.below(place + 1));
        }
    }

    /// Several tales told in turns; `goes_on`: how many steps of one at a time.
    pub fn in_turns<T>(&mut self, mut tales: Vec<Vec<T>>, goes_on: fn(&mut Self) -> usize) -> Vec<T> {
        tales.iter_mut().for_each(|tale| tale.reverse());
        let mut steps = Vec::new();
        while !tales.is_empty() {
            // By what is left of each, so that all end together.
            let lengths: Vec<usize> = tales.iter().map(Vec::len).collect();
            let turn = self.weighted(&lengths);
            for _ in 0..goes_on(self) {
                steps.extend(tales[turn].pop());
            }
            tales.retain(|tale| !tale.is_empty());
        }
        steps
    }

    /// The place of one of some weights.
    pub fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if at < *weight {
                return place;
            }
            at -= weight;
        }
        unreachable!()
    }
}
