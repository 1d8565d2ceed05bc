//! Secret text that scripts can use, but that nothing shows.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;

/// Text that a secret shows in place of its own.
pub(crate) const HIDDEN: &str = "[secret]";

type Read = dyn Fn() -> Result<Arc<str>, String> + Send + Sync;

/// Secret text, such as a key from the environment. `print`, errors, payloads, `io.data` and the inspector never show
/// it. A function of an application that needs the text takes a `Secret` as a parameter.
///
/// ```
/// use patchcord::{Secret, testing::TestHost};
///
/// let script = "fn on_connection(socket) { print(api_key()); socket.emit(\"length\", length(api_key())); }";
/// let host = TestHost::build([("main.rhai", script)], |builder| {
///     builder
///         .function("api_key", || Secret::new("open sesame"))
///         .function("length(key)", |key: Secret| key.reveal().map_or(0, |text| text.len() as i64))
/// });
/// assert_eq!(host.connect("/")?.heard(), ["length [11]"]);
/// assert_eq!(host.log(), ["[secret]"]);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Read>);

impl Secret {
    /// Creates a secret from its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self::deferred(move || Ok(text.clone()))
    }

    /// Creates a secret whose text is read at each use.
    pub(crate) fn deferred(
        read: impl Fn() -> Result<Arc<str>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the text.
    ///
    /// # Errors
    /// Fails in a test of scripts that has not set the environment variable of the secret.
    pub fn reveal(&self) -> Result<Arc<str>, String> {
        (self.0)()
    }

    /// Returns the secret with text before and after it, which is a secret too.
    pub(crate) fn surrounded(&self, before: &str, after: &str) -> Self {
        let (secret, before, after) = (self.clone(), before.to_owned(), after.to_owned());
        Self::deferred(move || {
            let text = secret.reveal()?;
            Ok(format!("{before}{text}{after}").into())
        })
    }

    /// Compares the secret with a text, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, text: &str) -> Result<bool, String> {
        let own = self.reveal()?;
        Ok(own.as_bytes().ct_eq(text.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}
