//! Bodies of requests, and what is done for them.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{error::ApiError, operation::Operation};
use crate::host::{Host, NamespaceError, NamespaceHandle, RemoteSocket};

/// Maximum number of rooms in one list of a request. Each of them is looked up for each socket.
const MAX_ROOMS: usize = 100;
/// Number of sockets or rooms in an answer, if the request has no `limit`.
const DEFAULT_LIMIT: usize = 100;
/// Maximum number of sockets or rooms in an answer; the next ones are in a further answer.
const MAX_LIMIT: usize = 1_000;
/// Size of the sockets in an answer, in bytes of JSON, beyond which no further one is added.
const MAX_SOCKETS_SIZE: usize = 1 << 20;
/// Maximum length of the name of a call, in bytes.
const MAX_NAME: usize = 255;

/// Body of a request, or element of a batch, that was read. It borrows from the text of the request.
#[derive(Debug)]
pub(super) enum Task<'a> {
    Emit(Emit<'a>),
    Join(Move),
    Leave(Move),
    Disconnect(Disconnect),
    Sockets(List),
    Rooms(List),
    Count(Selection),
    Call(Call<'a>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emit<'a> {
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    event: String,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(default)]
    volatile: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    rooms: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    close: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    after: String,
    #[serde(default = "default_limit")]
    limit: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call<'a> {
    namespace: String,
    name: String,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

const fn default_limit() -> usize {
    DEFAULT_LIMIT
}

impl<'a> Task<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Returns the error for the client.
    pub(super) fn read(operation: Operation, body: &'a str) -> Result<Self, ApiError> {
        // Structures can be read from arrays too, whose elements have no names.
        if body.trim_start().starts_with('[') {
            let message = "expected an object, such as `{\"namespace\": \"/\"}`";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_json", message));
        }
        let read = match operation {
            Operation::Emit => serde_json::from_str(body).map(Self::Emit),
            Operation::Join => serde_json::from_str(body).map(Self::Join),
            Operation::Leave => serde_json::from_str(body).map(Self::Leave),
            Operation::Disconnect => serde_json::from_str(body).map(Self::Disconnect),
            Operation::Sockets => serde_json::from_str(body).map(Self::Sockets),
            Operation::Rooms => serde_json::from_str(body).map(Self::Rooms),
            Operation::Count => serde_json::from_str(body).map(Self::Count),
            Operation::Call => serde_json::from_str(body).map(Self::Call),
        };
        let task = read.map_err(|error| ApiError::json(&error))?;
        task.check()?;
        Ok(task)
    }

    /// Returns the path of the namespace.
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Emit(Emit { namespace, .. })
            | Self::Join(Move { namespace, .. })
            | Self::Leave(Move { namespace, .. })
            | Self::Disconnect(Disconnect { namespace, .. })
            | Self::Sockets(List { namespace, .. })
            | Self::Rooms(List { namespace, .. })
            | Self::Count(Selection { namespace, .. })
            | Self::Call(Call { namespace, .. }) => namespace,
        }
    }

    /// Returns the rooms to select, and the rooms to leave out.
    fn rooms(&self) -> (&[String], &[String]) {
        match self {
            Self::Emit(Emit { to, except, .. })
            | Self::Join(Move { to, except, .. })
            | Self::Leave(Move { to, except, .. })
            | Self::Disconnect(Disconnect { to, except, .. })
            | Self::Sockets(List { to, except, .. })
            | Self::Rooms(List { to, except, .. })
            | Self::Count(Selection { to, except, .. }) => (to, except),
            Self::Call(_) => (&[], &[]),
        }
    }

    /// Checks everything that the types do not.
    fn check(&self) -> Result<(), ApiError> {
        let refuse = |message: String| Err(ApiError::bad_request(message));
        let (to, except) = self.rooms();
        let moved = match self {
            Self::Join(task) | Self::Leave(task) => task.rooms.as_slice(),
            _ => &[],
        };
        let lists = [("to", to), ("except", except), ("rooms", moved)];
        if let Some((name, _)) = lists.iter().find(|(_, rooms)| rooms.len() > MAX_ROOMS) {
            return refuse(format!("`{name}` has more than {MAX_ROOMS} rooms"));
        }
        match self {
            Self::Sockets(list) | Self::Rooms(list) if !(1..=MAX_LIMIT).contains(&list.limit) => {
                refuse(format!("`limit` is not from 1 to {MAX_LIMIT}"))
            }
            Self::Call(call) if call.name.len() > MAX_NAME => {
                refuse(format!("`name` has more than {MAX_NAME} bytes"))
            }
            _ => Ok(()),
        }
    }

    /// Runs the operation, and returns the body of its response. `key` is the name of the API key.
    ///
    /// # Errors
    /// Returns the error for the client.
    pub(super) async fn run(&self, host: &Host, key: &str) -> Result<Value, ApiError> {
        let path = self.namespace();
        let namespace = host.namespace(path);
        let namespace = namespace.ok_or_else(|| NamespaceError::NotServed(path.into()))?;
        let (to, except) = self.rooms();
        let selected = to.iter().fold(namespace, |one, room| one.to(room));
        let selected = except.iter().fold(selected, |one, room| one.except(room));
        let count = match self {
            Self::Emit(emit) => match emit.volatile {
                true => selected.volatile().emit(&emit.event, emit.args)?,
                false => selected.emit(&emit.event, emit.args)?,
            },
            Self::Join(task) => selected.join(&task.rooms)?,
            Self::Leave(task) => selected.leave(&task.rooms)?,
            Self::Disconnect(task) => selected.disconnect(task.close)?,
            Self::Count(_) => selected.count()?,
            Self::Sockets(list) => return sockets(&selected, list),
            Self::Rooms(list) => return rooms(&selected, list),
            Self::Call(call) => {
                let answer = selected.call_with_key(&call.name, &call.args, key).await?;
                return Ok(json!({ "answer": answer }));
            }
        };
        Ok(json!({ "count": count }))
    }
}

fn sockets(selected: &NamespaceHandle, list: &List) -> Result<Value, ApiError> {
    let (mut listed, mut size) = (0, 0);
    let wants_more = |socket: &RemoteSocket| {
        listed += 1;
        size += serde_json::to_string(socket).map_or(0, |text| text.len());
        listed < list.limit && size < MAX_SOCKETS_SIZE
    };
    let (count, sockets, is_whole) = selected.sockets_after(&list.after, wants_more)?;
    let last = sockets.last().map(|socket| &socket.id);
    let next = last.filter(|_| !is_whole);
    Ok(json!({ "count": count, "next": next, "sockets": sockets }))
}

fn rooms(selected: &NamespaceHandle, list: &List) -> Result<Value, ApiError> {
    let rooms = selected.rooms()?;
    let from = rooms.partition_point(|room| *room <= list.after);
    let shown: Vec<_> = rooms.iter().skip(from).take(list.limit).collect();
    let is_whole = from + shown.len() == rooms.len();
    let next = shown.last().filter(|_| !is_whole);
    Ok(json!({ "count": rooms.len(), "next": next, "rooms": shown }))
}
