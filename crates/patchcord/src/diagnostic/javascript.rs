//! Names from JavaScript and from Socket.IO's Node server, and their equivalents in patchcord.
//!
//! In: an unknown name. Out: a hint with its equivalent. Every function that a hint names exists:
//! `tests/it/script/check.rs` checks this.

/// Groups of names, each with the hint that the names share.
type Table = &'static [(&'static [&'static str], &'static str)];

/// Functions and properties of sockets, namespaces and servers.
const HANDLES: Table = &[
    (
        &["addListener", "addEventListener"],
        "a listener is added with `on(event, closure)`",
    ),
    (
        &[
            "removeAllListeners",
            "removeListener",
            "removeEventListener",
        ],
        "listeners are removed with `off(event)`, one of them with `off(event, listener)`",
    ),
    (
        &[
            "prependListener",
            "prependOnceListener",
            "prependAny",
            "prependAnyOutgoing",
        ],
        "listeners run in the order in which they were added, with `on(event, closure)` and `on_any(closure)`",
    ),
    (
        &[
            "listeners",
            "listenersAny",
            "listenersAnyOutgoing",
            "listenerCount",
            "eventNames",
            "rawListeners",
        ],
        "the listeners of a socket cannot be listed",
    ),
    (
        &["emitWithAck", "serverSideEmitWithAck"],
        "the answer comes to a closure: `timeout(ms).emit(event, value, |err, answer| ...)`",
    ),
    (
        &["serverSideEmit"],
        "servers send nothing to each other; `io.emit(event)` reaches the clients of all of them",
    ),
    (&["compress"], "messages are not compressed"),
    (&["write"], "`send(value)` sends the event `message`"),
    (
        &["conn", "client", "request"],
        "`socket.handshake` has headers, query and address, `socket.transport` the transport",
    ),
    (
        &["engine", "clientsCount", "httpServer", "eio"],
        "`io.sockets.len()` is the number of sockets; what is below them belongs to the program",
    ),
    (
        &["adapter", "allSockets"],
        "`io.rooms` and `io.sockets` have the rooms and the sockets of this namespace",
    ),
    (
        &["server"],
        "`io` is this namespace, `io.of(path)` another one",
    ),
    (&["namespace"], "`socket.nsp` is the name of the namespace"),
    (
        &["disconnected"],
        "`socket.connected` says whether it is there",
    ),
    (
        &["close", "listen", "attach", "path", "bind", "opts"],
        "the server belongs to the program that runs the scripts; `io.disconnect_sockets()` disconnects everyone",
    ),
    (
        &["get", "set", "store"],
        "`socket.data` keeps values of a socket, `io.data` those that all of them share",
    ),
    (
        &["has"],
        "`contains(value)` says whether something is in a list",
    ),
    (
        &["length", "size", "count"],
        "`len()` says how many there are",
    ),
    (
        &["forEach"],
        "`for socket in io.sockets { ... }` goes through all sockets",
    ),
];

/// Functions and properties of other values.
const VALUES: Table = &[
    (&["length", "size"], "`len()` says how long it is"),
    (
        &["forEach"],
        "`for x in list { ... }` goes through an array",
    ),
    (
        &["has", "hasOwnProperty", "hasOwn"],
        "`contains(value)` says whether something is in it",
    ),
    (
        &["indexOf", "search"],
        "`index_of(value)` gives the place of something, -1 for what is not there",
    ),
    (&["findIndex"], "it is written `find_index(|x| ...)`"),
    (&["flatMap"], "it is written `map(|x| ...)` and `flat()`"),
    (
        &["toSorted"],
        "it is written `sorted()` or `sorted(|a, b| ...)`",
    ),
    (&["toReversed"], "it is written `reversed()`"),
    (&["groupBy"], "it is written `group_by(|x| ...)`"),
    (&["mapValues"], "it is written `map_values(|x| ...)`"),
    (&["unshift"], "`insert(0, value)` puts something in front"),
    (
        &["substring", "substr"],
        "a part of a string is `slice(start, end)` or `sub_string(start, len)`",
    ),
    (&["charAt", "at"], "one element is read with `[place]`"),
    (
        &["toUpperCase", "toLocaleUpperCase"],
        "it is written `to_upper()`",
    ),
    (
        &["toLowerCase", "toLocaleLowerCase"],
        "it is written `to_lower()`",
    ),
    (&["startsWith"], "it is written `starts_with(text)`"),
    (&["endsWith"], "it is written `ends_with(text)`"),
    (&["padStart"], "it is written `pad_start(len, text)`"),
    (&["padEnd"], "it is written `pad_end(len, text)`"),
    (&["trimStart", "trimLeft"], "it is written `trim_start()`"),
    (&["trimEnd", "trimRight"], "it is written `trim_end()`"),
    (
        &["replaceAll"],
        "`replace(text, other)` replaces every occurrence",
    ),
    (&["toString"], "it is written `to_string()`"),
    (&["toFixed"], "it is written `to_fixed(digits)`"),
    (&["ceil"], "it is written `ceiling()`"),
    (&["concat"], "arrays, strings and maps are joined with `+`"),
    (&["reduceRight"], "it is written `reduce_rev(|sum, x| ...)`"),
    (
        &["then", "catch", "finally"],
        "a script does not wait: what comes later stands in a closure",
    ),
    (
        &["apply", "bind"],
        "a closure is called as `closure.call(...)`",
    ),
    (
        &["message", "stack"],
        "what `catch` gets is what was thrown: a text, or a map",
    ),
];

/// Functions and variables that are global in JavaScript.
const GLOBALS: Table = &[
    (&["undefined"], "no value is written `()`"),
    (
        &["console"],
        "`print(x)` writes a line to the log, `log::warn(x)` and `log::error(x)` one of that level",
    ),
    (
        &["JSON"],
        "a text is read with `json::parse(text)`, and a value written with `json::stringify(value)`",
    ),
    (
        &["Math"],
        "numbers have `x.floor()`, `x.round()`, `x.abs()`, `x.sqrt()`; `rand_float()` is a random one",
    ),
    (
        &["Date", "performance"],
        "`now_ms()` is the time in milliseconds",
    ),
    (
        &["Object"],
        "a map has `map.keys()`, `map.values()`, `map.entries()` and `map.len()`",
    ),
    (
        &["Array"],
        "an array is written `[a, b]`, and is known by `type_of(x) == \"array\"`",
    ),
    (
        &["Map", "Set", "WeakMap"],
        "a map is written `#{ key: value }`, an array `[a, b]`",
    ),
    (
        &["Error", "TypeError", "RangeError"],
        "an error is thrown as a text: `throw \"reason\"`",
    ),
    (&["String"], "a value becomes a text with `x.to_string()`"),
    (
        &["Number"],
        "a text becomes a number with `parse_int(text)` or `parse_float(text)`",
    ),
    (
        &["Promise"],
        "a script does not wait: what comes later stands in a closure",
    ),
    (
        &["Buffer", "Uint8Array"],
        "binary data of a client have `len()`, `slice(start, len)` and `to_blob()`",
    ),
    (
        &["process"],
        "a script knows nothing of the process; the program that runs it has options and functions",
    ),
    (
        &["fetch", "XMLHttpRequest"],
        "a script has no network of its own; the program that runs it can give it functions",
    ),
    (
        &["crypto", "uuid", "nanoid"],
        "`random_id()` makes an id that nobody can guess",
    ),
    (
        &["bcrypt", "argon2"],
        "passwords are hashed with `password::hash(text, |err, hash| ...)`",
    ),
    (
        &["require"],
        "a file of the scripts folder is imported with `import \"lib/names\" as names;`",
    ),
    (
        &["exports"],
        "the functions of a file are there for whoever imports it",
    ),
    (
        &["setImmediate", "queueMicrotask", "nextTick"],
        "`set_timeout(closure, 0)` calls something later",
    ),
    (&["alert"], "`print(x)` writes a line to the log"),
    (
        &["socket"],
        "`socket` is there where it is a parameter: `fn on_connection(socket) { ... }`",
    ),
];

/// Returns the hint for a name that does not exist on a handle of the host.
pub(crate) fn of_handle(name: &str) -> Option<&'static str> {
    find(HANDLES, name)
}

/// Returns the hint for a name that does not exist on a string, a number, an array or a map.
pub(crate) fn of_value(name: &str) -> Option<&'static str> {
    find(VALUES, name)
}

/// Returns the hint for a function or variable that is global in JavaScript.
pub(crate) fn of_global(name: &str) -> Option<&'static str> {
    find(GLOBALS, name)
}

fn find(table: Table, name: &str) -> Option<&'static str> {
    let mut rows = table.iter();
    rows.find(|(names, _)| names.contains(&name))
        .map(|(_, hint)| *hint)
}
