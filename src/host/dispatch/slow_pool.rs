//! A few threads for connections whose calls take long: they hold up each other, and nobody else.

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

/// Fewer than there are cores on any machine, or little more: calls that run to their deadline again and again leave
/// the others theirs.
const THREADS: usize = 2;
/// Script calls nest on the stack of the thread they run on.
const STACK: usize = 8 << 20;
/// What they are called where the system shows them.
pub(super) const NAME: &str = "scripts";

type Job = (Handle, Box<dyn FnOnce() + Send>);

/// Threads that begin with the first job, and end with this.
#[derive(Debug, Default)]
pub(super) struct SlowPool {
    jobs: OnceLock<Sender<Job>>,
}

impl SlowPool {
    /// Does `job` on one of these threads, after those that wait already.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let jobs = self.jobs.get_or_init(start);
        if let Err(SendError((runtime, job))) = jobs.send((Handle::current(), Box::new(job))) {
            // There are no threads.
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
        // Without one thread the others do its work, and without any the runtime does.
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
        // A panic was reported where it was caught first, if it was one of a script.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
