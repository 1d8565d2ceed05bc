//! Answers that are kept for repeated requests, by `Idempotency-Key`.
//!
//! Invariant: while a request runs, no other one with the same idempotency key does.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use axum::{body::Bytes, http::StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Time for which an answer is kept.
const RETENTION: Duration = Duration::from_secs(120);
/// Maximum number of answers of one API key; the oldest ones are forgotten first.
const MAX_ANSWERS: usize = 10_000;
/// Maximum size of all answers of one API key, in bytes; the oldest ones are forgotten first.
const MAX_SIZE: usize = 16 << 20;

/// SHA-256 of a request.
pub(super) type Fingerprint = [u8; 32];

/// Answer to a request: its status and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Answers of one API key.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<String, Entry>,
    /// Idempotency keys with the times of their first requests, the oldest first.
    order: VecDeque<(Instant, String)>,
    /// Total size of the answers, in bytes.
    size: usize,
}

#[derive(Debug)]
struct Entry {
    begun: Instant,
    request: Fingerprint,
    /// `None` while the request runs.
    answer: Option<Kept>,
}

/// State of a request before it is run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is new, and runs now. [`Answers::keep`] or [`Answers::forget`] follows.
    New,
    /// The same request runs.
    Running,
    /// The same request was answered.
    Answered(Kept),
    /// Another request has the same idempotency key.
    Other,
}

impl Answers {
    /// Begins a request.
    pub(super) fn begin(&self, key: &str, request: Fingerprint) -> Known {
        let now = Instant::now();
        let mut table = self.0.lock();
        table.forget_old(now);
        if let Some(entry) = table.by_key.get(key) {
            return match &entry.answer {
                _ if entry.request != request => Known::Other,
                None => Known::Running,
                Some(answer) => Known::Answered(answer.clone()),
            };
        }
        if table.by_key.len() >= MAX_ANSWERS {
            table.forget_oldest();
        }
        let entry = Entry {
            begun: now,
            request,
            answer: None,
        };
        table.by_key.insert(key.to_owned(), entry);
        table.order.push_back((now, key.to_owned()));
        Known::New
    }

    /// Keeps the answer to a request.
    pub(super) fn keep(&self, key: &str, answer: Kept) {
        let mut table = self.0.lock();
        let size = answer.body.len();
        if let Some(entry) = table.by_key.get_mut(key) {
            let before = entry.answer.replace(answer);
            table.size += size;
            table.size -= before.map_or(0, |before| before.body.len());
        }
        while table.size > MAX_SIZE && table.forget_oldest() {}
    }

    /// Forgets a request that was not done, so that it can be repeated.
    pub(super) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

impl Table {
    fn forget_old(&mut self, now: Instant) {
        let is_old = |one: &&(Instant, String)| now.duration_since(one.0) >= RETENTION;
        let old = self.order.iter().take_while(is_old).count();
        for _ in 0..old {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest answer. A request that runs is kept. Returns `false` if there is nothing to forget.
    fn forget_oldest(&mut self) -> bool {
        let runs = |(begun, key): &(Instant, String)| {
            let entry = self.by_key.get(key);
            entry.is_some_and(|entry| entry.begun == *begun && entry.answer.is_none())
        };
        let oldest = self.order.iter().position(|one| !runs(one));
        let Some((begun, key)) = oldest.and_then(|oldest| self.order.remove(oldest)) else {
            return false;
        };
        // The same key may have been forgotten and used again meanwhile.
        if self
            .by_key
            .get(&key)
            .is_some_and(|entry| entry.begun == begun)
        {
            self.remove(&key);
        }
        true
    }

    fn remove(&mut self, key: &str) {
        let removed = self.by_key.remove(key).and_then(|entry| entry.answer);
        self.size -= removed.map_or(0, |answer| answer.body.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &'static str) -> Kept {
        Kept {
            status: StatusCode::OK,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_two_minutes() {
        let answers = Answers::default();
        assert_eq!(answers.begin("a", [1; 32]), Known::New);
        assert_eq!(answers.begin("a", [1; 32]), Known::Running);
        answers.keep("a", kept("done"));
        tokio::time::advance(Duration::from_secs(119)).await;
        assert_eq!(answers.begin("a", [1; 32]), Known::Answered(kept("done")));
        assert_eq!(answers.begin("a", [2; 32]), Known::Other);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(answers.begin("a", [2; 32]), Known::New);
        answers.forget("a");
        assert_eq!(answers.begin("a", [1; 32]), Known::New);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_and_the_size_of_answers_are_bounded() {
        let answers = Answers::default();
        for n in 0..MAX_ANSWERS + 5 {
            assert_eq!(answers.begin(&n.to_string(), [0; 32]), Known::New);
            answers.keep(&n.to_string(), kept("x"));
        }
        assert_eq!(answers.0.lock().by_key.len(), MAX_ANSWERS);
        assert_eq!(answers.begin("0", [0; 32]), Known::New, "the oldest one");
        for n in 0..20 {
            let key = format!("large {n}");
            answers.begin(&key, [0; 32]);
            let body = Bytes::from(vec![0; 1 << 20]);
            answers.keep(&key, Kept { body, ..kept("") });
        }
        assert!(answers.0.lock().size <= MAX_SIZE);
        let last = answers.begin("large 19", [0; 32]);
        assert!(matches!(last, Known::Answered(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_runs_is_never_forgotten() {
        let answers = Answers::default();
        assert_eq!(answers.begin("slow", [0; 32]), Known::New);
        for n in 0..20 {
            let key = format!("large {n}");
            answers.begin(&key, [0; 32]);
            let body = Bytes::from(vec![0; 1 << 20]);
            answers.keep(&key, Kept { body, ..kept("") });
        }
        tokio::time::advance(RETENTION).await;
        assert_eq!(answers.begin("slow", [0; 32]), Known::Running);
        answers.keep("slow", kept("done"));
        answers.keep("slow", kept("done"));
        answers.forget("slow");
        answers.begin("other", [0; 32]);
        assert_eq!(answers.0.lock().size, 0);
    }
}
