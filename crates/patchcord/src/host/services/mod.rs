//! Services: what scripts reach beyond their clients, as far as [`PermissionOptions`](super::PermissionOptions) allow
//! it.
//!
//! In: the permissions. Out: an engine whose scripts can call the services. They are built with the same [`Functions`]
//! as those of an application. In tests of scripts, stand-ins that a test sets take the place of the real services.

#[cfg(feature = "sql")]
mod db;
mod env;

use std::sync::Arc;

#[cfg(feature = "sql")]
use self::db::Databases;
use self::env::Environment;
use super::{functions::Functions, options::Options};
use crate::{api, script::EngineBuilder};

/// Services of a host.
#[derive(Debug)]
pub(crate) struct Services {
    /// Variables of the environment.
    pub(crate) environment: Environment,
    /// Databases.
    #[cfg(feature = "sql")]
    pub(crate) databases: Arc<Databases>,
}

impl Services {
    /// Creates the services that the options allow. `in_test` replaces them with stand-ins.
    pub(super) fn new(options: &Options, in_test: bool) -> Arc<Self> {
        Arc::new(Self {
            environment: Environment::new(&options.permissions.allow_env, in_test),
            #[cfg(feature = "sql")]
            databases: Arc::new(Databases::new(options, in_test)),
        })
    }

    /// Returns the builder of an engine whose scripts can call the API and the services.
    pub(crate) fn engine(self: &Arc<Self>, options: &Options) -> EngineBuilder {
        let functions = env::register(self, Functions::new());
        let engine = api::engine(&options.limits)
            .functions(functions.into_module())
            .argument_check("env", env::check(self));
        #[cfg(feature = "sql")]
        let engine = db::register(&self.databases, engine);
        engine
    }

    /// Waits until no call of a service runs that must not be cut off.
    pub(super) async fn idle(&self) {
        #[cfg(feature = "sql")]
        self.databases.idle().await;
    }
}
