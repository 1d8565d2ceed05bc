//! Secret text that scripts can use, but that nothing shows.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;

/// Text that a secret shows in place of its own.
pub(crate) const HIDDEN: &str = "[secret]";

/// Maximum number of texts that can be added to a secret before its own text is known.
const MAX_PARTS: usize = 16;

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
pub struct Secret(Source);

#[derive(Clone)]
enum Source {
    Text(Arc<str>),
    /// Text that is read at each use, with texts before and after it.
    Deferred(Arc<Read>, Arc<[(String, String)]>),
}

type Read = dyn Fn() -> Result<Arc<str>, String> + Send + Sync;

impl Secret {
    /// Creates a secret from its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(Source::Text(text.into()))
    }

    /// Creates a secret whose text is read at each use.
    pub(crate) fn deferred(
        read: impl Fn() -> Result<Arc<str>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Deferred(Arc::new(read), Arc::new([])))
    }

    /// Returns the text.
    ///
    /// # Errors
    /// Fails in a test of scripts that has not set the environment variable of the secret.
    pub fn reveal(&self) -> Result<Arc<str>, String> {
        match &self.0 {
            Source::Text(text) => Ok(text.clone()),
            Source::Deferred(read, around) => {
                let inner = read()?;
                let around = around.iter();
                Ok(around.fold(inner, |inner, (before, after)| {
                    format!("{before}{inner}{after}").into()
                }))
            }
        }
    }

    /// Returns the secret with text before and after it, which is a secret too.
    pub(crate) fn surrounded(&self, before: &str, after: &str) -> Result<Self, String> {
        match (self.reveal(), &self.0) {
            (Ok(text), _) => Ok(Self::new(format!("{before}{text}{after}"))),
            (Err(_), Source::Deferred(read, around)) if around.len() < MAX_PARTS => {
                let around = around.iter().cloned();
                let around = around.chain([(before.to_owned(), after.to_owned())]);
                Ok(Self(Source::Deferred(read.clone(), around.collect())))
            }
            (Err(problem), _) => Err(problem),
        }
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
