//! CONNECTs of one client that are in progress.
//!
//! Frames behind a CONNECT wait until its socket exists, because socketioxide would close the connection on an event
//! that comes too early. Each CONNECT goes one way: it is requested, a reload may postpone it, it is accepted, it is
//! answered, and then its socket has begun; or it is rejected on the way.

use std::time::Duration;

use tokio::time::Instant;

/// Maximum time that frames wait behind an unanswered CONNECT.
pub(super) const GATE: Duration = Duration::from_millis(50);

/// Progress of a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The host has handed it to socketioxide.
    Requested,
    /// It waits for a reload to be decided; meanwhile the time of [`GATE`] does not run.
    Postponed,
    /// It is accepted; socketioxide may not have received the answer yet.
    Accepted,
    /// socketioxide has received the answer; `on_connection` has not begun.
    Answered,
}

#[derive(Debug)]
struct Connect {
    namespace: Box<str>,
    stage: Stage,
    since: Instant,
    /// Frames no longer wait for it.
    is_overdue: bool,
}

/// CONNECTs of one client that are in progress, in order.
#[derive(Debug, Default)]
pub(super) struct Connects(Vec<Connect>);

impl Connects {
    /// Records a CONNECT that the host hands to socketioxide. One to a namespace that nothing serves is never answered,
    /// and forgotten with the next one: a client cannot make the list long.
    pub(super) fn request(&mut self, namespace: &str) {
        let is_stale = |one: &Connect| one.stage == Stage::Requested && one.since.elapsed() > GATE;
        self.0.retain(|one| !is_stale(one));
        if !self.0.iter().any(|one| &*one.namespace == namespace) {
            self.add(namespace, Stage::Requested, false);
        }
    }

    fn add(&mut self, namespace: &str, stage: Stage, is_overdue: bool) {
        self.0.push(Connect {
            namespace: namespace.into(),
            stage,
            since: Instant::now(),
            is_overdue,
        });
    }

    /// Records the progress of the CONNECT to a namespace.
    pub(super) fn reach(&mut self, namespace: &str, stage: Stage) {
        match self.0.iter_mut().find(|one| &*one.namespace == namespace) {
            Some(connect) => connect.stage = stage,
            // Frames no longer waited for it.
            None => self.add(namespace, stage, true),
        }
    }

    /// Removes the CONNECT to a namespace: its socket has begun, or it was rejected.
    pub(super) fn end(&mut self, namespace: &str) {
        let found = self.0.iter().position(|one| &*one.namespace == namespace);
        if let Some(at) = found {
            self.0.remove(at);
        }
        if self.0.is_empty() {
            // An idle client keeps no memory for it.
            self.0 = Vec::new();
        }
    }

    /// Returns whether frames wait for a CONNECT.
    pub(super) fn hold_frames(&self) -> bool {
        self.0.iter().any(|one| !one.is_overdue)
    }

    /// Returns whether socketioxide has yet to receive the answer to an accepted CONNECT.
    pub(super) fn owe_answers(&self) -> bool {
        self.0.iter().any(|one| one.stage == Stage::Accepted)
    }

    /// Lets frames wait no longer, because their time is over, unless a reload is being decided. Returns whether it
    /// did.
    pub(super) fn give_up(&mut self) -> bool {
        let is_postponed = self.0.iter().any(|one| one.stage == Stage::Postponed);
        if !is_postponed {
            // socketioxide may never answer the others.
            self.0.retain(|one| one.stage >= Stage::Accepted);
            self.0.iter_mut().for_each(|one| one.is_overdue = true);
        }
        !is_postponed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_wait_from_the_request_to_the_end() {
        let mut connects = Connects::default();
        assert!(!connects.hold_frames());
        connects.request("/");
        for stage in [Stage::Postponed, Stage::Accepted, Stage::Answered] {
            connects.reach("/", stage);
            assert!(connects.hold_frames(), "{stage:?}");
            assert_eq!(connects.owe_answers(), stage == Stage::Accepted);
        }
        connects.end("/");
        assert!(!connects.hold_frames());
    }

    #[test]
    fn the_end_of_one_does_not_end_another() {
        let mut connects = Connects::default();
        connects.request("/");
        connects.request("/chat");
        connects.end("/");
        assert!(connects.hold_frames());
        connects.end("/chat");
        assert!(!connects.hold_frames());
    }

    #[test]
    fn nobody_waits_for_ever_but_for_a_reload() {
        let mut connects = Connects::default();
        connects.request("/nowhere");
        connects.request("/");
        connects.reach("/", Stage::Postponed);
        assert!(!connects.give_up());
        connects.reach("/", Stage::Accepted);
        assert!(connects.give_up() && !connects.hold_frames());
        assert!(connects.owe_answers(), "the accepted one is still owed");
        connects.end("/");
        assert!(!connects.owe_answers());
    }

    #[test]
    fn one_that_frames_did_not_wait_for_is_owed_all_the_same() {
        let mut connects = Connects::default();
        connects.request("/");
        assert!(connects.give_up());
        connects.reach("/", Stage::Accepted);
        assert!(connects.owe_answers() && !connects.hold_frames());
        connects.end("/");
        assert!(!connects.owe_answers());
    }

    #[tokio::test(start_paused = true)]
    async fn connects_that_are_never_answered_do_not_pile_up() {
        let mut connects = Connects::default();
        for round in 0..10 {
            connects.request("/twice");
            connects.request("/twice");
            connects.request(&format!("/{round}"));
            assert_eq!(connects.0.len(), 2);
            tokio::time::advance(2 * GATE).await;
        }
        connects.request("/");
        connects.reach("/", Stage::Accepted);
        tokio::time::advance(2 * GATE).await;
        connects.request("/later");
        assert!(connects.owe_answers(), "an accepted one is kept");
    }
}
