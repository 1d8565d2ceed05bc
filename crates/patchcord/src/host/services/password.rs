//! `password`: hashes of passwords, with Argon2id.

use std::sync::Arc;

use argon2::{
    Argon2, Params, PasswordHasher, PasswordVerifier,
    password_hash::{self, phc::PasswordHash},
};
use rhai::ImmutableString;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::host::functions::{Functions, Signature, async_fn::AsyncContext};

/// Maximum length of a password, in bytes.
const MAX_PASSWORD: usize = 1_024;
/// Maximum length of a hash, in bytes.
const MAX_HASH: usize = 256;
/// Maximum memory that a hash may ask for, in KiB: the default of `argon2` in Node.
const MAX_MEMORY_KIB: u32 = 64 * 1_024;
/// Maximum number of passes over the memory that a hash may ask for.
const MAX_PASSES: u32 = 10;
/// Maximum number of lanes that a hash may ask for.
const MAX_LANES: u32 = 16;
/// Number of passwords that are hashed at the same time.
const AT_ONCE: usize = 2;
/// Maximum number of calls that run or wait in the queue.
const MAX_QUEUED: usize = 256;

/// Names of the functions, and of what they use, for reports of failures.
const HASH: &str = "password::hash";
const VERIFY: &str = "password::verify";
const TARGET: &str = "argon2";

/// Queue of the passwords that are hashed on other threads.
#[derive(Debug)]
pub(super) struct Passwords {
    workers: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            workers: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(MAX_QUEUED)),
        }
    }
}

impl Passwords {
    /// Runs `work` on a thread for blocking calls, after the calls that came before. `work` is an error if the
    /// arguments of the call are invalid. A call whose client has disconnected before its turn is dropped.
    fn run<T, W>(
        &self,
        context: AsyncContext,
        service: &'static str,
        work: Result<W, String>,
    ) -> impl Future<Output = Result<T, String>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, String> + Send + 'static,
    {
        context.wait_in_tests();
        let place = self.queue.clone().try_acquire_owned();
        let place = place.map_err(|_| {
            format!("{MAX_QUEUED} passwords wait already, which is the limit: try again later")
        });
        let ready = work.and_then(|work| place.map(|place| (work, place)));
        let workers = self.workers.clone();
        async move {
            let result = match ready {
                Ok(ready) => in_turn(&context, workers, ready).await,
                Err(error) => Err(error),
            };
            match result.transpose() {
                Some(result) => context.served(service, TARGET, result),
                None => Err("the client has disconnected".to_owned()),
            }
        }
    }
}

/// Waits for a free worker, and runs `work`. Returns `None` if the client disconnects before that.
async fn in_turn<T: Send + 'static>(
    context: &AsyncContext,
    workers: Arc<Semaphore>,
    (work, place): (
        impl FnOnce() -> Result<T, String> + Send + 'static,
        OwnedSemaphorePermit,
    ),
) -> Result<Option<T>, String> {
    let worker = tokio::select! {
        biased;
        () = context.cancelled() => return Ok(None),
        worker = workers.acquire_owned() => worker.map_err(|closed| closed.to_string())?,
    };
    on_thread(work, (place, worker)).await.map(Some)
}

/// Runs `work` on a thread for blocking calls. It keeps its permits until it ends, even if nothing waits for it.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
) -> Result<T, String> {
    let result = spawn_blocking(move || {
        let result = work();
        drop(permits);
        result
    });
    let ended = |_| "the runtime has ended, or the thread has panicked".to_owned();
    result.await.map_err(ended)?
}

fn checked(password: &str) -> Result<(), String> {
    match password.len() <= MAX_PASSWORD {
        true => Ok(()),
        false => Err(format!(
            "a password has at most {MAX_PASSWORD} bytes, and this one has {}",
            password.len()
        )),
    }
}

fn hashed(password: &str) -> Result<ImmutableString, String> {
    let salt: [u8; password_hash::phc::Salt::RECOMMENDED_LENGTH] = rand::random();
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string().into())
        .map_err(|error| error.to_string())
}

/// Parses a hash, and checks that its verification takes bounded time and memory.
fn parsed(hash: &str) -> Result<PasswordHash, String> {
    let invalid = || "a hash is a string such as `$argon2id$v=19$m=19456,t=2,p=1$...`".to_owned();
    if hash.len() > MAX_HASH {
        return Err(invalid());
    }
    let hash = PasswordHash::new(hash).map_err(|_| invalid())?;
    let is_complete = hash.salt.is_some() && hash.hash.is_some();
    if !is_complete || argon2::Algorithm::try_from(hash.algorithm.as_str()).is_err() {
        return Err(invalid());
    }
    let params = Params::try_from(&hash).map_err(|_| invalid())?;
    let limits = [
        ("KiB of memory (`m`)", params.m_cost(), MAX_MEMORY_KIB),
        ("passes (`t`)", params.t_cost(), MAX_PASSES),
        ("lanes (`p`)", params.p_cost(), MAX_LANES),
    ];
    for (what, asked, most) in limits {
        if asked > most {
            return Err(format!(
                "the hash asks for {asked} {what}, and at most {most} are allowed"
            ));
        }
    }
    Ok(hash)
}

fn verified(password: &str, hash: &PasswordHash) -> Result<bool, String> {
    match Argon2::default().verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(format!("the hash cannot be verified: {error}")),
    }
}

const HASH_DOC: &str = "\
Hashes a password with Argon2id (19 MiB of memory, 2 passes, 1 lane, as OWASP recommends) and a random salt. \
`closure(err, hash)` receives a string that contains everything that `password::verify` needs: \
`$argon2id$v=19$m=19456,t=2,p=1$...`. The password has at most 1,024 bytes. Hashing takes 20 to 50 ms on another thread. \
The host hashes two passwords at a time, and the other calls wait in a queue; if 256 calls run or wait, a further one is an error. `limit::allow` keeps a client from filling the queue. In Node, \
the packages `argon2` and `bcrypt` do this.

```rhai
socket.on(\"set password\", |text| {
    password::hash(text, |err, hash| {
        if err == () { socket.data.hash = hash; }
    });
});
```";

const VERIFY_DOC: &str = "\
Compares a password with a hash of `password::hash`, or of another program that writes Argon2 hashes in this form. \
`closure(err, ok)` receives `true` or `false`. The hash may ask for up to 64 MiB of memory (`m=65536`), 10 passes and 16 \
lanes; one that asks for more, and one that is not an Argon2 hash, is an error. It waits in the same queue as \
`password::hash`. The equivalent in Node is `argon2.verify(hash, password)`.

```rhai
socket.on(\"log in\", |text| {
    password::verify(text, socket.data.hash, |err, ok| {
        socket.emit(\"logged in\", err == () && ok);
    });
});
```";

/// Returns the functions of the module `password`.
pub(super) fn functions(passwords: &Arc<Passwords>) -> Functions {
    let (hashes, verifies) = (passwords.clone(), passwords.clone());
    let hash = move |context: AsyncContext, password: ImmutableString| {
        let work = checked(&password).map(|()| move || hashed(&password));
        hashes.run(context, HASH, work)
    };
    let verify = move |context: AsyncContext, password: ImmutableString, hash: ImmutableString| {
        let hash = checked(&password).and_then(|()| parsed(&hash));
        let work = hash.map(|hash| move || verified(&password, &hash));
        verifies.run(context, VERIFY, work)
    };
    Functions::with_path("password::")
        .async_function(Signature::new("hash(password)").doc(HASH_DOC), hash)
        .async_function(
            Signature::new("verify(password, hash)").doc(VERIFY_DOC),
            verify,
        )
}
