//! Reasons why an event has a listener, or has none.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use super::{SteerError, find, listening::ListenerInfo};
use crate::{
    connection::{ANY, Connection, Gone},
    host::{
        Host,
        reload::known::{Code, ListeningCode},
    },
    script::place,
};

/// Maximum number of sockets that are named for each answer.
const MAX_EXAMPLES: usize = 3;

/// Reasons why an event has a listener, or has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// Name of the event.
    pub event: String,
    /// Answers, ordered by namespace; within a namespace, the answer for most sockets comes first. Empty if no known
    /// version has ever listened to the event, and no socket is connected.
    pub answers: Vec<WhyAnswer>,
}

/// Answer that applies to some sockets of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WhyAnswer {
    /// Path of the namespace. Each instance of a dynamic namespace has answers of its own.
    pub namespace: Arc<str>,
    /// State of the event on these sockets.
    #[serde(flatten)]
    pub answer: Answer,
    /// `true` if a catch-all listener (`on_any`) receives the event as well.
    pub any: bool,
    /// Number of sockets to which the answer applies; 0 if none is connected.
    pub sockets: usize,
    /// Ids of at most three of these sockets.
    pub examples: Vec<String>,
}

/// State of an event on a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// The event has listeners.
    Listens {
        /// Listeners, in the order in which they are called.
        listeners: Vec<ListenerInfo>,
    },
    /// The listener was registered with `once`, and was called.
    Fired(Code),
    /// `off` has removed the listener.
    Off(Code),
    /// The version that serves has code that listens to the event, but this code has not run for the socket: it is in a
    /// handler that was not called, or in another branch. Or `off` or `once` has removed the listener.
    NotRun(Code),
    /// The version that serves does not listen to the event, but an earlier version did.
    NotSince {
        /// Place of the code that listened last, with its version.
        #[serde(flatten)]
        last: Code,
        /// Number of the version that replaced it.
        since: u64,
    },
    /// A version that was rolled back listens to the event.
    RolledBack(Code),
    /// No known version listens to the event.
    Never,
}

impl Host {
    /// Returns the reason why an event has a listener, or has none: on one socket (its id, or `NAMESPACE#ID`) or, if
    /// `socket` is `None`, on all sockets, grouped by equal answers. A namespace without sockets is listed if one of
    /// its versions listens to the event.
    ///
    /// ```
    /// use patchcord::{host::Answer, testing::TestHost};
    ///
    /// let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"line\", |x| x); }");
    /// let ada = host.connect("/")?;
    /// host.edit("main.rhai", "fn on_connection(socket) { socket.on(\"stroke\", |x| x); }");
    /// let why = host.why("line", Some(ada.id()))?;
    /// assert!(matches!(why.answers[0].answer, Answer::NotSince { since: 2, .. }));
    /// assert_eq!(why.answers[0].to_string(), "not listened to since version 2; version 1 did at main.rhai:1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`SteerError`] if no such socket is connected, or if sockets of several namespaces have the id.
    pub async fn why(&self, event: &str, socket: Option<&str>) -> Result<Why, SteerError> {
        let mut answers = Vec::new();
        match socket {
            Some(socket) => {
                let connection = find(&self.state.namespaces, socket)?;
                let namespace = connection.namespace().clone();
                let code = self.state.reloader.listening_code(&namespace, event).await;
                answers.extend(grouped(event, &[connection], &code.into()));
            }
            None => {
                for namespace in self.state.namespaces.all_paths() {
                    let mut connections = namespace.connections();
                    // A dynamic namespace also returns the connections of its instances, which have answers of their
                    // own.
                    connections.retain(|one| Arc::ptr_eq(one.namespace(), &namespace));
                    let code = self.state.reloader.listening_code(&namespace, event).await;
                    let code = Answer::from(code);
                    if connections.is_empty() && code != Answer::Never {
                        answers.push(WhyAnswer::nobody(namespace.path().clone(), code));
                    } else {
                        answers.extend(grouped(event, &connections, &code));
                    }
                }
            }
        }
        Ok(Why {
            event: event.to_owned(),
            answers,
        })
    }
}

/// Returns the answers for some sockets of one namespace. `code` is the answer for sockets that have never had a
/// listener.
fn grouped(event: &str, connections: &[Arc<Connection>], code: &Answer) -> Vec<WhyAnswer> {
    let mut groups = BTreeMap::<(Answer, bool), WhyAnswer>::new();
    for connection in connections {
        let (answer, any) = of(event, connection);
        let answer = answer.unwrap_or_else(|| code.clone());
        let path = connection.namespace().path();
        let group = groups
            .entry((answer, any))
            .or_insert_with_key(|(answer, any)| WhyAnswer {
                any: *any,
                ..WhyAnswer::nobody(path.clone(), answer.clone())
            });
        group.sockets += 1;
        if group.examples.len() < MAX_EXAMPLES {
            group.examples.push(connection.id().to_string());
        }
    }
    let mut answers: Vec<_> = groups.into_values().collect();
    answers.sort_by_key(|answer| std::cmp::Reverse(answer.sockets));
    answers
}

/// Returns the answer from the listeners of a connection, and `true` if a catch-all listener receives the event. The
/// answer is `None` if the connection has never had a listener for the event.
fn of(event: &str, connection: &Connection) -> (Option<Answer>, bool) {
    let listeners = connection.look_at_listeners();
    let any = listeners
        .iter()
        .any(|one| one.event == ANY && one.gone.is_none());
    let mut of_event: Vec<_> = listeners.iter().filter(|one| one.event == event).collect();
    let gone = of_event.iter().rev().find_map(|one| {
        let (file, line) = place(&one.handler);
        let version = one.handler.code().number();
        let code = Code::new(file, line, version);
        match one.gone? {
            Gone::Fired => Some(Answer::Fired(code)),
            Gone::Off | Gone::OffAtOnce => Some(Answer::Off(code)),
        }
    });
    of_event.retain(|one| one.gone.is_none());
    if of_event.is_empty() {
        return (gone, any);
    }
    let listeners = of_event.into_iter().map(ListenerInfo::new).collect();
    (Some(Answer::Listens { listeners }), any)
}

impl From<ListeningCode> for Answer {
    fn from(code: ListeningCode) -> Self {
        match code {
            ListeningCode::Serving(code) => Self::NotRun(code),
            ListeningCode::Earlier { last, since } => Self::NotSince { last, since },
            ListeningCode::RolledBack(code) => Self::RolledBack(code),
            ListeningCode::Never => Self::Never,
        }
    }
}

impl fmt::Display for WhyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answer.fmt(f)?;
        match self.any {
            true => f.write_str("; a listener of any event hears it"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listens { listeners } => {
                let listeners: Vec<_> = listeners.iter().map(listener).collect();
                write!(f, "listened to: {}", listeners.join(", "))
            }
            Self::Fired(Code { file, line, .. }) => {
                write!(
                    f,
                    "not listened to any more: `once` at {file}:{line} was called"
                )
            }
            Self::Off(Code { file, line, .. }) => {
                write!(
                    f,
                    "not listened to any more: `off` has removed the listener at {file}:{line}"
                )
            }
            Self::NotRun(Code {
                file,
                line,
                version,
            }) => write!(
                f,
                "not listened to: version {version} does at {file}:{line}, on another path than this client took"
            ),
            Self::NotSince { last, since } => {
                let Code {
                    file,
                    line,
                    version,
                } = last;
                write!(
                    f,
                    "not listened to since version {since}; version {version} did at {file}:{line}"
                )
            }
            Self::RolledBack(Code {
                file,
                line,
                version,
            }) => write!(
                f,
                "not listened to: version {version} does at {file}:{line}, and was rolled back"
            ),
            Self::Never => f.write_str("never listened to by any version that is known"),
        }
    }
}

fn listener(info: &ListenerInfo) -> String {
    let (file, line) = (&info.file, info.line);
    let once = if info.once { "once, " } else { "" };
    match &info.stale {
        Some(stale) => format!("{file}:{line} ({once}{})", stale.reason()),
        None => format!("{file}:{line} ({once}version {})", info.version),
    }
}

impl WhyAnswer {
    const fn nobody(namespace: Arc<str>, answer: Answer) -> Self {
        Self {
            namespace,
            answer,
            any: false,
            sockets: 0,
            examples: Vec::new(),
        }
    }
}
