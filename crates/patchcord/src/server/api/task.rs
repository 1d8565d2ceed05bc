//! Bodies of requests, and what is done for them.

use serde_json::{Value, json, value::RawValue};

use super::{error::ApiError, fields::Fields, operation::Operation};
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
pub(super) struct Task<'a> {
    namespace: String,
    /// Rooms to select.
    to: Vec<String>,
    /// Rooms to leave out.
    except: Vec<String>,
    action: Action<'a>,
}

/// Effect on the selected sockets.
#[derive(Debug)]
enum Action<'a> {
    Emit {
        event: String,
        args: Option<&'a RawValue>,
        volatile: bool,
    },
    Join(Vec<String>),
    Leave(Vec<String>),
    Disconnect {
        close: bool,
    },
    Sockets(List),
    Rooms(List),
    Count,
    Call {
        name: String,
        args: Option<&'a RawValue>,
    },
}

/// Part of a list that is wanted.
#[derive(Debug)]
struct List {
    after: String,
    limit: usize,
}

impl List {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let limit = fields.integer("limit", &(1..=MAX_LIMIT))?;
        Ok(Self {
            after: fields.string("after")?.unwrap_or_default(),
            limit: limit.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

impl<'a> Task<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Returns the error for the client.
    pub(super) fn read(operation: Operation, body: &'a str) -> Result<Self, ApiError> {
        let fields = Fields::read(operation, body)?;
        Ok(Self {
            namespace: fields.needed_string("namespace")?,
            to: rooms_of("to", fields.strings("to")?)?,
            except: rooms_of("except", fields.strings("except")?)?,
            action: match operation {
                Operation::Emit => Action::Emit {
                    event: fields.needed_string("event")?,
                    args: fields.raw_array("args")?,
                    volatile: fields.flag("volatile")?,
                },
                Operation::Join => Action::Join(moved(&fields)?),
                Operation::Leave => Action::Leave(moved(&fields)?),
                Operation::Disconnect => Action::Disconnect {
                    close: fields.flag("close")?,
                },
                Operation::Sockets => Action::Sockets(List::read(&fields)?),
                Operation::Rooms => Action::Rooms(List::read(&fields)?),
                Operation::Count => Action::Count,
                Operation::Call => Action::Call {
                    name: call_name(&fields)?,
                    args: fields.raw_array("args")?,
                },
            },
        })
    }

    /// Returns the path of the namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs the operation, and returns the body of its response. `key` is the name of the API key.
    ///
    /// # Errors
    /// Returns the error for the client.
    pub(super) async fn run(&self, host: &Host, key: &str) -> Result<Value, ApiError> {
        let path = self.namespace();
        let namespace = host.namespace(path);
        let namespace = namespace.ok_or_else(|| NamespaceError::NotServed(path.into()))?;
        let selected = self.to.iter().fold(namespace, |one, room| one.to(room));
        let selected = self
            .except
            .iter()
            .fold(selected, |one, room| one.except(room));
        let count = match &self.action {
            Action::Emit {
                event,
                args,
                volatile,
            } => match volatile {
                true => selected.volatile().emit(event, args)?,
                false => selected.emit(event, args)?,
            },
            Action::Join(rooms) => selected.join(rooms)?,
            Action::Leave(rooms) => selected.leave(rooms)?,
            Action::Disconnect { close } => selected.disconnect(*close)?,
            Action::Count => selected.count()?,
            Action::Sockets(list) => return sockets(&selected, list),
            Action::Rooms(list) => return rooms(&selected, list),
            Action::Call { name, args } => {
                let answer = selected.call_with_key(name, args, key).await?;
                return Ok(json!({ "answer": answer }));
            }
        };
        Ok(json!({ "count": count }))
    }
}

/// Returns the rooms that sockets join or leave.
fn moved(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    rooms_of("rooms", fields.needed_strings("rooms")?)
}

/// Returns the rooms of a field, if there are not too many.
fn rooms_of(field: &str, rooms: Vec<String>) -> Result<Vec<String>, ApiError> {
    match rooms.len() > MAX_ROOMS {
        true => {
            let message = format!("`{field}` has more than {MAX_ROOMS} rooms");
            Err(ApiError::bad_request(message))
        }
        false => Ok(rooms),
    }
}

/// Returns the name of a call, if it is not too long.
fn call_name(fields: &Fields<'_>) -> Result<String, ApiError> {
    let name = fields.needed_string("name")?;
    match name.len() > MAX_NAME {
        true => {
            let message = format!("`name` has more than {MAX_NAME} bytes");
            Err(ApiError::bad_request(message))
        }
        false => Ok(name),
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
