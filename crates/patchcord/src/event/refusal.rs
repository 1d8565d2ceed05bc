//! Reasons why a CONNECT to a namespace is rejected, and their counters.

use serde::Serialize;

use super::Counter;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $kind:ident, $field:ident, $reason:literal;)*) => {
        /// Kind of reason why a CONNECT to a namespace is rejected. It is the label `reason` in metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ConnectRefusal {
            $($(#[doc = $doc])+ $kind,)*
        }

        impl ConnectRefusal {
            /// All kinds.
            #[cfg(any(test, feature = "internals"))]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// Returns the reason as text.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$kind => $reason,)*
                }
            }
        }

        /// Counters of rejected CONNECTs, one for each kind of reason.
        #[derive(Debug, Default)]
        pub struct RefusedConnects {
            $($field: Counter,)*
        }

        impl RefusedConnects {
            /// Returns the counter of a kind.
            pub const fn by(&self, kind: ConnectRefusal) -> &Counter {
                match kind {
                    $(ConnectRefusal::$kind => &self.$field,)*
                }
            }

            /// Returns the label of each kind in metrics, and its count.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field.get())),*]
            }

            /// Returns the total count of all kinds.
            pub fn get(&self) -> u64 {
                self.all().iter().map(|(_, count)| count).sum()
            }
        }
    };
}

refusals! {
    /// `on_handshake` rejected the client, failed, or did not answer in time.
    Handshake, handshake, "`on_handshake` rejects it";
    /// No script serves the namespace.
    InvalidNamespace, invalid_namespace, "no script serves this namespace";
    /// The name of an instance contains control characters.
    UnreadableName, unreadable_name, "the name has control characters";
    /// The dynamic namespace already has the maximum number of instances, `max_namespaces`.
    NamespaceLimit, namespace_limit, "`max-namespaces` instances exist";
    /// The client is already in the maximum number of namespaces, `max_namespaces_per_client`.
    TooManyNamespaces, too_many_namespaces, "the client is in `max-namespaces-per-client` namespaces";
    /// The `auth` of the client is larger than 64 KiB.
    LargeAuth, large_auth, "its `auth` is larger than 64 KiB";
    /// The client connects and disconnects repeatedly.
    TooOften, too_often, "the client connects to namespaces too often";
    /// The script of the namespace has never loaded.
    NotLoaded, not_loaded, "its script has not loaded";
    /// The host is closing.
    Closing, closing, "the server is shutting down";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_name_in_json_and_in_metrics() {
        for kind in ConnectRefusal::ALL {
            let counters = RefusedConnects::default();
            counters.by(*kind).add();
            let counted = counters.all().into_iter().filter(|(_, count)| *count == 1);
            let labels: Vec<_> = counted.map(|(label, _)| label).collect();
            assert_eq!(
                serde_json::to_value([kind]).unwrap(),
                serde_json::json!(labels)
            );
            assert_eq!(counters.get(), 1);
        }
    }
}
