//! Services: what scripts reach beyond their clients, as far as [`PermissionOptions`](super::PermissionOptions) allow
//! it.
//!
//! In: the permissions. Out: an engine whose scripts can call the services. They are built with the same [`Functions`]
//! as those of an application. In tests of scripts, stand-ins that a test sets take the place of the real services.

#[cfg(feature = "sql")]
mod db;
mod env;
#[cfg(any(feature = "http", feature = "jwt"))]
mod given;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "jwt")]
mod jwt;
pub(super) mod metrics;
mod password;
#[cfg(any(feature = "http", feature = "sql"))]
pub(super) mod tls;

use std::sync::Arc;

#[cfg(feature = "sql")]
use self::db::Databases;
#[cfg(feature = "http")]
use self::http::Http;
#[cfg(all(feature = "http", feature = "testing"))]
pub(crate) use self::http::StandIns as HttpStandIns;
use self::{env::Environment, password::Passwords};
use super::{functions::Functions, options::Options};
use crate::{api, connection::Clock, event::ScriptMetrics, script::EngineBuilder};

/// Services of a host.
#[derive(Debug)]
pub(crate) struct Services {
    /// Variables of the environment.
    pub(crate) environment: Arc<Environment>,
    /// HTTP requests.
    #[cfg(feature = "http")]
    pub(crate) http: Arc<Http>,
    /// Metrics that scripts count.
    pub(crate) metrics: Arc<ScriptMetrics>,
    /// Clock by which schedules run.
    pub(crate) clock: Clock,
    passwords: Arc<Passwords>,
    /// Databases.
    #[cfg(feature = "sql")]
    pub(crate) databases: Arc<Databases>,
}

impl Services {
    /// Creates the services that the options allow. `in_test` replaces them with stand-ins.
    pub(crate) fn new(options: &Options, in_test: bool) -> Arc<Self> {
        Arc::new(Self {
            environment: Environment::new(&options.permissions.allow_env, in_test).into(),
            #[cfg(feature = "http")]
            http: Http::new(&options.permissions.allow_net, in_test).into(),
            metrics: Arc::default(),
            clock: match in_test {
                true => Clock::of_test(),
                false => Clock::default(),
            },
            passwords: Arc::default(),
            #[cfg(feature = "sql")]
            databases: Arc::new(Databases::new(options, in_test)),
        })
    }

    /// Adds the modules that reach nothing outside, which tests of scripts can call too.
    pub(crate) fn with_pure_modules(self: &Arc<Self>, engine: EngineBuilder) -> EngineBuilder {
        #[cfg(feature = "jwt")]
        let engine = {
            let functions = jwt::functions();
            #[cfg(feature = "http")]
            let functions = jwt::with_key_sets(&self.http, functions);
            let module = functions.into_module();
            #[cfg(feature = "http")]
            let module = jwt::with_type_names(module);
            engine.module("jwt", module)
        };
        engine
    }

    /// Returns the builder of an engine whose scripts can call the API and the services.
    pub(crate) fn engine(self: &Arc<Self>, options: &Options) -> EngineBuilder {
        let functions = env::register(&self.environment, Functions::new());
        #[cfg(feature = "http")]
        let functions = http::response_functions(functions);
        let functions = functions.into_module();
        #[cfg(feature = "http")]
        let functions = http::with_type_names(functions);
        let engine = api::engine(&options.limits)
            .functions(functions)
            .argument_check("env", env::check(&self.environment))
            .module(
                "password",
                password::functions(&self.passwords).into_module(),
            )
            .module("metrics", metrics::functions(&self.metrics).into_module());
        let engine = self.with_pure_modules(engine);
        #[cfg(feature = "http")]
        let engine = http::checks(&self.http).fold(
            engine.module("http", http::functions(&self.http).into_module()),
            |engine, (function, check)| engine.argument_check(function, check),
        );
        #[cfg(feature = "sql")]
        let engine = db::register(&self.databases, engine);
        engine
    }

    /// Waits until no call of a service runs that must not be cut off.
    pub(super) async fn idle(&self) {
        #[cfg(feature = "http")]
        self.http.idle().await;
        #[cfg(feature = "sql")]
        self.databases.idle().await;
    }
}
