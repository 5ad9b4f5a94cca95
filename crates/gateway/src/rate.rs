//! A bucket for each key and each endpoint: one tenant's flood must not take what the others need.
//!
//! It lives in the key or endpoint itself, so there are as many buckets as there are keys, and a stranger fills nobody's.
use crate::refusal::Refusal;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use kit::config::Limits;
use std::num::NonZeroU32;

/// What one key or endpoint may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// `None`: no limit.
    pub(crate) fn of(limits: &Limits) -> Option<Self> {
        let per_second = NonZeroU32::new(limits.requests_per_second)?;
        Some(Self { per_second, burst: NonZeroU32::new(limits.request_burst).unwrap_or(per_second) })
    }
}

/// What is left of a rate.
#[derive(Debug)]
pub(crate) struct Bucket(Option<DefaultDirectRateLimiter>);

impl Bucket {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| RateLimiter::direct(Quota::per_second(rate.per_second).allow_burst(rate.burst))))
    }

    /// Takes `events` out.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] with the whole seconds until there is as much again.
    pub(crate) fn take(&self, events: usize) -> Result<(), Refusal> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        let events = u32::try_from(events).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        match limiter.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(Refusal::RateLimited(wait.as_secs() + 1))
            }
            // More than a full bucket holds: the limits keep the bucket larger than a batch.
            Err(_) => Err(Refusal::RateLimited(1)),
        }
    }
}
