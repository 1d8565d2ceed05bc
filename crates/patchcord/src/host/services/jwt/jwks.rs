//! Key sets (RFC 7517) of identity providers, by their URL: cached, and refreshed when they are old, or when a token has
//! a key that is not among them.

use std::{
    any::{TypeId, type_name},
    collections::HashMap,
    sync::Arc,
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use parking_lot::Mutex;
use rhai::{Dynamic, EvalAltResult, FnPtr, Map, Module};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use super::{
    key,
    verify::{self, Fallible},
};
use crate::{
    connection::{Namespace, Turn},
    event::HostEvent,
    host::{
        functions::{
            Functions, Signature,
            async_fn::{Answer, AsyncContext},
        },
        services::http::{Http, Prepared},
    },
    script::misuse,
    value::register_type,
};

/// Age from which on keys are fetched again.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Minimum time between two attempts to fetch keys.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum number of keys of a set. Further ones are ignored.
const MAX_KEYS: usize = 64;
/// Message for a client whose token cannot be verified now. The operator learns the reason.
const NOT_AVAILABLE: &str = "the keys of the tokens are not available now";
/// Maximum number of key sets of a host. Beyond it, those that no script holds are forgotten.
const MAX_SETS: usize = 16;
/// Name of the function, for messages.
pub(super) const NAME: &str = "jwt::jwks";

/// Key set that scripts hold. Copies are the same set.
#[derive(Debug, Clone)]
pub(super) struct Jwks(Arc<KeySet>);

#[derive(Debug)]
struct KeySet {
    http: Arc<Http>,
    request: Prepared,
    known: Mutex<Known>,
    /// Held while the keys are fetched, so that callers which need them wait for one request.
    fetching: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<Key>,
    /// Time at which the keys were fetched; `None` if they never were.
    fetched: Option<Instant>,
    /// Time of the last attempt.
    tried: Option<Instant>,
    /// Problem of the last attempt.
    problem: Option<String>,
    /// `true` once a problem has been announced.
    announced: bool,
}

/// Key of a set.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) key: DecodingKey,
    /// Algorithm of the tokens that the key signs, unless the script names others.
    pub(super) algorithm: Algorithm,
}

impl Key {
    /// Returns `None` for a key that does not verify signatures, or is secret.
    fn new(jwk: &Jwk) -> Option<Self> {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let named = jwk.common.key_algorithm;
        let named = named.and_then(|name| name.to_string().parse().ok());
        let algorithm: Algorithm = named.unwrap_or_else(|| key::default_algorithm(key.family()));
        let is_used = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let fits = key.family().algorithms().contains(&algorithm);
        let is_public = key.family() != AlgorithmFamily::Hmac;
        (is_used && fits && is_public).then(|| Self {
            id: jwk.common.key_id.clone(),
            key,
            algorithm,
        })
    }
}

impl Jwks {
    /// Creates the key set of a URL.
    ///
    /// # Errors
    /// Fails if scripts may not reach the URL.
    pub(super) fn new(http: &Arc<Http>, url: &str) -> Result<Self, String> {
        let request = Prepared::new(NAME, "GET", url, rhai::Map::new())?;
        http.check(&request.target)?;
        Ok(Self(Arc::new(KeySet {
            http: http.clone(),
            request,
            known: Mutex::default(),
            fetching: AsyncMutex::default(),
        })))
    }

    /// Returns the key with an id, as far as it is known already. Keys that are missing or old are fetched meanwhile.
    ///
    /// # Errors
    /// Fails if no such key is known.
    pub(super) fn known(&self, id: Option<&str>) -> Fallible<Key> {
        if let Some(turn) = Turn::current() {
            self.announce(turn.connection.namespace());
        }
        let known = self.0.known.lock();
        let found = known.find(id);
        let is_old = known.fetched.is_none_or(|at| at.elapsed() > FRESH);
        drop(known);
        if is_old || found.is_err() {
            self.refresh_later();
        }
        found
    }

    /// Returns the key with an id. Waits for the keys if it is missing.
    async fn fetched(&self, namespace: &Namespace, id: Option<&str>) -> Fallible<Key> {
        if self.0.known.lock().find(id).is_err() {
            self.refresh().await;
        }
        self.announce(namespace);
        self.known(id)
    }

    /// Announces that the keys cannot be fetched, once until they can.
    fn announce(&self, namespace: &Namespace) {
        let mut known = self.0.known.lock();
        let Some(error) = known.problem.clone().filter(|_| !known.announced) else {
            return;
        };
        known.announced = true;
        drop(known);
        namespace.driver().announce(HostEvent::ServiceFailed {
            namespace: namespace.path().clone(),
            socket: None,
            service: NAME.to_owned(),
            target: self.0.request.target.host_and_port(),
            error,
        });
    }

    fn refresh_later(&self) {
        // A set that is forgotten meanwhile is not fetched.
        let set = Arc::downgrade(&self.0);
        // Outside a runtime, such as in a check, nothing is fetched.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(set) = set.upgrade() {
                    Self(set).refresh().await;
                }
            });
        }
    }

    /// Fetches the keys, unless that has been tried a moment ago. Old keys stay if it fails.
    async fn refresh(&self) {
        let set = &*self.0;
        let _fetching = set.fetching.lock().await;
        let tried = set.known.lock().tried;
        // In a test, the answer may have been set since.
        let is_real = set.http.stand_ins.is_none();
        if is_real && tried.is_some_and(|at| at.elapsed() < RETRY_INTERVAL) {
            return;
        }
        let fetched = set.fetch().await;
        let mut known = set.known.lock();
        known.tried = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                known.keys = keys;
                known.fetched = known.tried;
                known.problem = None;
                known.announced = false;
            }
            Err(problem) => known.problem = Some(problem),
        }
    }
}

impl KeySet {
    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let answer = self.http.send(&self.request).await?;
        if answer.status != 200 {
            return Err(format!("the status is {}", answer.status));
        }
        let set: JwkSet = serde_json::from_slice(&answer.body)
            .map_err(|_| "the answer is no key set (RFC 7517)".to_owned())?;
        Ok(set
            .keys
            .iter()
            .filter_map(Key::new)
            .take(MAX_KEYS)
            .collect())
    }
}

impl Known {
    /// Returns the key with an id; without one, the only key.
    fn find(&self, id: Option<&str>) -> Fallible<Key> {
        let found = match (id, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        };
        match (found, self.fetched) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(_)) => Err("the key of the token is not known".into()),
            (None, None) => Err(NOT_AVAILABLE.into()),
        }
    }
}

/// Key sets by URL, so that a script may name one at each use. Each has the number of its last use.
#[derive(Debug, Default)]
struct Sets {
    by_url: HashMap<String, (Jwks, u64)>,
    /// Number of uses.
    uses: u64,
}

impl Sets {
    /// Returns the key set of a URL.
    fn get(&mut self, http: &Arc<Http>, url: &str) -> Result<Jwks, String> {
        self.uses += 1;
        if let Some((set, used)) = self.by_url.get_mut(url) {
            *used = self.uses;
            return Ok(set.clone());
        }
        let set = Jwks::new(http, url)?;
        if self.by_url.len() >= MAX_SETS && !self.forget_one() {
            return Err(format!(
                "`{NAME}` keeps the keys of at most {MAX_SETS} URLs"
            ));
        }
        set.refresh_later();
        self.by_url.insert(url.to_owned(), (set.clone(), self.uses));
        Ok(set)
    }

    /// Forgets the key set that was used least recently, of those that no script holds. Returns `false` if there is none.
    fn forget_one(&mut self) -> bool {
        let sets = self.by_url.iter();
        let unused = sets.filter(|(_, (set, _))| Arc::strong_count(&set.0) == 1);
        let oldest = unused.min_by_key(|(_, (_, used))| *used);
        let Some(url) = oldest.map(|(url, _)| url.clone()) else {
            return false;
        };
        self.by_url.remove(&url).is_some()
    }
}

const JWKS: &str = "\
Returns the public keys of an identity provider (a JSON Web Key Set, RFC 7517), for `jwt::verify`. They are fetched in \
the background, kept, and fetched again when they are older than ten minutes, or when a token has a key that is not \
among them, at most every 10 seconds. `--allow-net` must name the host. In Node a library does this, such as `jwks-rsa`.

```rhai
const KEYS = jwt::jwks(\"https://example.eu.auth0.com/.well-known/jwks.json\");

fn on_handshake(socket, next) {
    let options = #{ audience: \"chat\", issuer: \"https://example.eu.auth0.com/\" };
    jwt::verify(socket.handshake.auth.token, global::KEYS, options, |err, claims| {
        if err != () { return next.call(err); }
        socket.data.user = claims.sub;
        next.call();
    });
}
```";

const VERIFY: &str = "\
Verifies a JSON Web Token with the keys of an identity provider, and calls the closure with an error text, or with `()` \
and the claims. Unlike the form without a closure, it waits for keys that are not fetched yet. The options are the same.

```rhai
const KEYS = jwt::jwks(\"https://example.eu.auth0.com/.well-known/jwks.json\");

fn on_handshake(socket, next) {
    jwt::verify(socket.handshake.auth.token, global::KEYS, #{ audience: \"chat\" }, |err, claims| next.call(err));
}
```";

/// Adds the name of the type, as scripts see it.
pub(in crate::host::services) fn with_type_names(mut module: Module) -> Module {
    register_type::<Jwks>(&mut module, "KeySet", |set| {
        Some(set.0.request.target.url().into())
    });
    module
}

/// Adds the functions for key sets.
pub(in crate::host::services) fn with_key_sets(
    http: &Arc<Http>,
    functions: Functions,
) -> Functions {
    let (http, sets) = (http.clone(), Mutex::<Sets>::default());
    let jwks = move |url: &str| -> Fallible<Jwks> { sets.lock().get(&http, url).map_err(misuse) };
    let types = [
        (TypeId::of::<Dynamic>(), type_name::<Dynamic>()),
        (TypeId::of::<Jwks>(), type_name::<Jwks>()),
        (TypeId::of::<Map>(), type_name::<Map>()),
        (TypeId::of::<FnPtr>(), type_name::<FnPtr>()),
    ];
    functions
        .function(Signature::new("jwks(url)").doc(JWKS), jwks)
        .service(
            "jwt::verify",
            Signature::new("verify(token, keys, options)").doc(VERIFY),
            &types,
            |context, args| {
                context.wait_in_tests();
                verify(context, args)
            },
        )
}

/// Begins to verify a token.
///
/// # Errors
/// Fails if the options are wrong.
fn verify(context: AsyncContext, args: Vec<Dynamic>) -> Result<Answer, String> {
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or_default();
    let (token, keys, options) = (next(), next(), next());
    let keys = keys.try_cast::<Jwks>().ok_or("no key set")?;
    let options = options.try_cast::<Map>().unwrap_or_default();
    verify::check_options(options.clone())?;
    Ok(Box::pin(async move {
        let verified = async {
            let token = verify::text(&token)?;
            let found = keys
                .fetched(
                    context.namespace_of_caller(),
                    verify::key_id(&token).as_deref(),
                )
                .await?;
            verify::check(&token, &found.key, found.algorithm, options)
        };
        let verified: Fallible<Dynamic> = verified.await;
        verified.map_err(|error| match error.unwrap_inner() {
            EvalAltResult::ErrorRuntime(reason, _) => reason.to_string(),
            other => other.to_string(),
        })
    }))
}
