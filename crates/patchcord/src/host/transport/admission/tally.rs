//! Counts the sessions of a host, in total and for each address, and decides whether one more may open.

use std::{collections::HashMap, time::Instant};

use super::{
    caller::Caller,
    refusal::{Over, Refusal, Scope},
};
use crate::host::{
    bucket::{Bucket, Refill},
    options::Options,
};

/// Burst of new sessions, as a multiple of the limit per second, because all clients of a server reconnect at the same
/// time when it restarts.
const BURST: usize = 10;

/// Number of equal shares into which the limit on sessions without a socket is divided. One address may use one share.
/// A client can forge the header that makes it [`Caller::Behind`], and thereby use two shares; the third one remains
/// for all others.
const SHARES: usize = 3;

/// Limits on sessions, for clients that are counted together.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    sessions: usize,
    unconnected: usize,
    rate: Option<Refill>,
}

/// Limits on the sessions of a host.
#[derive(Debug)]
pub(super) struct Limits {
    all: Bounds,
    address: Bounds,
    /// Bounds for the clients of an untrusted proxy. Limits per address do not apply to them, but these bounds leave
    /// room for the clients of other addresses.
    proxy: Bounds,
}

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        let all = Bounds {
            sessions: options.clients.max_connections.unwrap_or(usize::MAX),
            unconnected: options.clients.max_unconnected(),
            rate: options.clients.max_connects_per_second.map(refill),
        };
        let share = (all.unconnected / SHARES).max(1);
        let half = options
            .clients
            .max_connects_per_second
            .map(|count| count / 2);
        Self {
            address: Bounds {
                sessions: options
                    .clients
                    .max_connections_per_address
                    .unwrap_or(usize::MAX),
                unconnected: share,
                rate: options
                    .clients
                    .max_connects_per_second_per_address
                    .map(refill),
            },
            proxy: Bounds {
                sessions: usize::MAX,
                unconnected: share,
                rate: half.map(refill),
            },
            all,
        }
    }

    /// Returns the limits for the clients that are counted together with `caller`, if there are any.
    const fn of_caller(&self, caller: Caller) -> Option<(Bounds, Scope)> {
        match caller {
            Caller::Exempt => None,
            Caller::From(_) => Some((self.address, Scope::Address)),
            Caller::Behind(_) => Some((self.proxy, Scope::Proxy)),
        }
    }
}

fn refill(per_second: usize) -> Refill {
    Refill::new(per_second, per_second.saturating_mul(BURST))
}

/// Sessions of clients that are counted together.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    /// Number of those sessions that have not had a socket yet.
    unconnected: usize,
    bucket: Bucket,
}

impl Count {
    fn check(&self, bounds: Bounds, now: Instant) -> Result<(), Over> {
        let wait = bounds.rate.map(|rate| self.bucket.wait(rate, now));
        if self.sessions >= bounds.sessions {
            return Err(Over::Sessions);
        }
        if self.unconnected >= bounds.unconnected {
            return Err(Over::Unconnected);
        }
        match wait {
            Some(wait) if !wait.is_zero() => Err(Over::Rate(wait)),
            _ => Ok(()),
        }
    }

    fn open(&mut self, bounds: Bounds, now: Instant) {
        self.sessions += 1;
        self.unconnected += 1;
        if let Some(rate) = bounds.rate {
            self.bucket.take(rate, now);
        }
    }

    fn connect(&mut self) {
        self.unconnected = self.unconnected.saturating_sub(1);
    }

    fn close(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    /// Returns `true` if the count is equal to a new one.
    fn is_idle(&self, now: Instant) -> bool {
        self.sessions == 0 && self.bucket.is_full(now)
    }
}

/// Sessions of a host.
///
/// Only a session that opens creates a count, and an idle count is removed. So there are at most as many counts as
/// sessions that are open, plus those that opened in the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    all: Count,
    callers: HashMap<Caller, Count>,
}

impl Tally {
    /// Counts a session that opens, unless it would exceed a limit.
    pub(super) fn open(
        &mut self,
        limits: &Limits,
        caller: Caller,
        now: Instant,
    ) -> Result<(), Refusal> {
        let its = limits.of_caller(caller);
        if let Some((bounds, scope)) = its {
            let count = self.callers.get(&caller).copied().unwrap_or_default();
            let checked = count.check(bounds, now);
            checked.map_err(|over| Refusal::Limit(over, scope))?;
        }
        let checked = self.all.check(limits.all, now);
        checked.map_err(|over| Refusal::Limit(over, Scope::All))?;
        self.all.open(limits.all, now);
        if let Some((bounds, _)) = its {
            self.remove_idle(now);
            self.callers.entry(caller).or_default().open(bounds, now);
        }
        Ok(())
    }

    /// Records that a session has its first socket.
    pub(super) fn connect(&mut self, caller: Caller) {
        self.all.connect();
        if let Some(count) = self.callers.get_mut(&caller) {
            count.connect();
        }
    }

    /// Records the end of a session. [`Tally::connect`] must have been called for it before.
    pub(super) fn close(&mut self, caller: Caller, now: Instant) {
        self.all.close();
        if let Some(count) = self.callers.get_mut(&caller) {
            count.close();
            if count.is_idle(now) {
                self.callers.remove(&caller);
            }
        }
    }

    /// Removes idle counts before the table would grow.
    fn remove_idle(&mut self, now: Instant) {
        if self.callers.len() == self.callers.capacity() {
            self.callers.retain(|_, count| !count.is_idle(now));
            self.callers.shrink_to(self.callers.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;
    use crate::host::address::Network;

    fn from(n: u32) -> Caller {
        Caller::From(Network::from_address(Ipv4Addr::from_bits(n).into()).unwrap())
    }

    fn limits(change: impl FnOnce(&mut Options)) -> Limits {
        let mut options = Options::default();
        change(&mut options);
        Limits::new(&options)
    }

    /// Returns the number of sessions that open at once, and the reason why the next one is rejected.
    fn opened(
        tally: &mut Tally,
        limits: &Limits,
        caller: Caller,
        now: Instant,
    ) -> (usize, Refusal) {
        for count in 0.. {
            if let Err(refusal) = tally.open(limits, caller, now) {
                return (count, refusal);
            }
        }
        unreachable!()
    }

    #[test]
    fn each_limit_refuses_the_next_session_and_a_session_that_ends_makes_room() {
        let now = Instant::now();
        let limits = limits(|options| {
            options.clients.max_connections = Some(10);
            options.clients.max_connections_per_address = Some(6);
        });
        let (one, two) = (from(1), from(2));
        let mut tally = Tally::default();
        let full = |scope| Refusal::Limit(Over::Sessions, scope);
        assert_eq!(
            opened(&mut tally, &limits, one, now),
            (6, full(Scope::Address))
        );
        assert_eq!(opened(&mut tally, &limits, two, now), (4, full(Scope::All)));
        tally.connect(one);
        tally.close(one, now);
        assert_eq!(opened(&mut tally, &limits, two, now), (1, full(Scope::All)));
    }

    #[test]
    fn sessions_without_a_socket_are_limited_apart_and_one_address_gets_a_third() {
        let now = Instant::now();
        let limits = limits(|options| options.clients.max_unconnected = Some(90));
        let mut tally = Tally::default();
        let full = |scope| Refusal::Limit(Over::Unconnected, scope);
        for n in 1..=3 {
            let (count, refusal) = opened(&mut tally, &limits, from(n), now);
            assert_eq!((count, refusal), (30, full(Scope::Address)));
        }
        assert_eq!(
            opened(&mut tally, &limits, from(4), now),
            (0, full(Scope::All))
        );
        tally.connect(from(1));
        assert_eq!(
            opened(&mut tally, &limits, from(4), now),
            (1, full(Scope::All))
        );
    }

    #[test]
    fn the_table_forgets_addresses_whose_bucket_is_full_again() {
        let limits = limits(|_| {});
        let mut tally = Tally::default();
        let mut now = Instant::now();
        for n in 1..100_000 {
            now += Duration::from_millis(1);
            tally.open(&limits, from(n), now).unwrap();
            tally.connect(from(n));
            tally.close(from(n), now);
        }
        let most = tally.callers.capacity();
        assert!(most < 100, "it has room for {most}");
    }
}
