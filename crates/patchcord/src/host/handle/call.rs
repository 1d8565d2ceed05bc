//! Calls of `on_api`.

use serde::Serialize;
use serde_json::Value;

use super::{NamespaceError, NamespaceHandle};
use crate::connection::{ApiCall, ApiFailure};

impl NamespaceHandle {
    /// Calls `on_api` of the namespace's script, and returns its answer. `args` is a tuple or an array, one element for
    /// each argument. The rooms of the handle have no meaning here.
    ///
    /// The call waits for its turn, behind other calls of the namespace itself. If the returned future is dropped before
    /// that, the script is not called. The time of the call itself has a limit
    /// ([`Limits::time`](crate::script::Limits::time)), but not the time until its turn.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), patchcord::host::NamespaceError> {
    /// let script = "fn on_connection(socket) { } fn on_api(request) { request.args[0] + request.args[1] }";
    /// let host = Host::builder().loader(Memory::from([("main.rhai", script)])).build();
    /// host.load().await.unwrap();
    /// let namespace = host.namespace("/").unwrap();
    /// assert_eq!(namespace.call("add", (1, 2)).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`NamespaceError`] if the script throws or fails, has no `on_api`, or cannot be called now.
    pub async fn call(&self, name: &str, args: impl Serialize) -> Result<Value, NamespaceError> {
        let args = self.arguments(&args)?;
        self.call_as(name, args, None).await
    }

    /// Does the same as [`NamespaceHandle::call`] for an API key with a name.
    pub(crate) async fn call_with_key(
        &self,
        name: &str,
        args: &impl Serialize,
        key: &str,
    ) -> Result<Value, NamespaceError> {
        let args = self.arguments(args)?;
        self.call_as(name, args, Some(key)).await
    }

    async fn call_as(
        &self,
        name: &str,
        args: Vec<rhai::Dynamic>,
        key: Option<&str>,
    ) -> Result<Value, NamespaceError> {
        let path = || self.path.clone();
        let namespace = self
            .now()?
            .filter(|one| one.params().is_empty() || !one.is_empty());
        let namespace = namespace.ok_or_else(|| NamespaceError::NoSockets(path()))?;
        let (call, answered) = ApiCall::new(name.to_owned(), args, key.map(str::to_owned));
        namespace.ask(call);
        let answered = answered.await;
        // If the namespace has ended meanwhile, the call may have created its unit again, which refers to it.
        if !self.host.state.namespaces.is_current(&namespace) {
            namespace.close_context();
        }
        let Ok(answer) = answered else {
            return Err(NamespaceError::Ended(path()));
        };
        match answer {
            Ok(json) => serde_json::from_str(&json).map_err(|_| NamespaceError::Failed(path())),
            Err(ApiFailure::NoHook) => Err(NamespaceError::NoHook(path())),
            Err(ApiFailure::Busy) => Err(NamespaceError::Busy(path())),
            Err(ApiFailure::Thrown { message, data }) => Err(NamespaceError::Thrown {
                message,
                data: data.and_then(|data| serde_json::from_str(&data).ok()),
            }),
            Err(ApiFailure::Unanswered) => Err(NamespaceError::Unanswered(path())),
            Err(ApiFailure::Failed) => Err(NamespaceError::Failed(path())),
        }
    }
}
