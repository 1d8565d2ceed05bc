//! Pool of a few threads for connections with slow calls. Such connections delay each other, but no other connection.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{self, Receiver, SendError, Sender},
    },
    thread,
};

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Number of threads. It is small, so that calls that repeatedly run to their deadline cannot occupy every core.
const THREADS: usize = 2;
/// Size in bytes of the stack of a thread. Nested script calls need it.
const STACK: usize = 8 << 20;
/// Name of the threads, as the system shows it.
pub(super) const NAME: &str = "scripts";

type Job = (Handle, Box<dyn FnOnce() + Send>);

/// Pool whose threads start with the first job, and end when the pool is dropped.
#[derive(Debug, Default)]
pub(super) struct SlowPool {
    jobs: OnceLock<Sender<Job>>,
}

impl SlowPool {
    /// Runs `job` on one of the threads, after the jobs that are already queued.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let jobs = self.jobs.get_or_init(start);
        if let Err(SendError((runtime, job))) = jobs.send((Handle::current(), Box::new(job))) {
            // No thread could start, so the runtime runs the job.
            runtime.spawn(async move { job() });
        }
    }
}

fn start() -> Sender<Job> {
    let (sender, jobs) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let jobs = jobs.clone();
        let thread = thread::Builder::new()
            .name(NAME.to_owned())
            .stack_size(STACK);
        // If a thread cannot start, the other threads do its work. If none can start, the runtime does it.
        let _ = thread.spawn(move || work(&jobs));
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().recv();
        let Ok((runtime, job)) = next else {
            return;
        };
        let _runtime = runtime.enter();
        // A panic in a script call was caught and reported before.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
