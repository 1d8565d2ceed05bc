//! Commands of the control channel, in one table: the server runs them, and `patchcord ctl` offers them.
//!
//! A new command needs one entry of [`COMMANDS`], and the function that the entry names.

use std::pin::Pin;

use serde_json::{Map, Value};

use super::{
    arguments::{Argument, Arguments, Form, Kind},
    history, preview,
    protocol::{Refusal, Reply},
    saves, sockets, staging,
};
use crate::host::Host;

/// One command.
#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    #[cfg_attr(
        not(feature = "internals"),
        allow(dead_code, reason = "help is of the command line")
    )]
    pub about: &'static str,
    pub arguments: &'static [Argument],
    run: fn(Host, Arguments) -> Running,
}

/// Future of a running command.
type Running = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// Creates the flag that names a namespace.
const fn namespace(about: &'static str) -> Argument {
    Argument {
        name: "namespace",
        value: "NAMESPACE",
        about,
        form: Form::Flag,
        kind: Kind::Text,
    }
}

/// Creates a positional argument that is a text.
const fn text(
    name: &'static str,
    value: &'static str,
    form: Form,
    about: &'static str,
) -> Argument {
    positional(Kind::Text, name, value, form, about)
}

/// Creates a positional argument that is a number.
const fn number(
    name: &'static str,
    value: &'static str,
    form: Form,
    about: &'static str,
) -> Argument {
    positional(Kind::Number, name, value, form, about)
}

const fn positional(
    kind: Kind,
    name: &'static str,
    value: &'static str,
    form: Form,
    about: &'static str,
) -> Argument {
    Argument {
        name,
        value,
        about,
        form,
        kind,
    }
}

/// All commands, in the order in which they are listed.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "reload",
        about: "Look at the files now, and load what has changed",
        arguments: &[],
        run: |host, _| Box::pin(saves::reload(host)),
    },
    Command {
        name: "preview",
        about: "Show what `reload` would do, and change nothing",
        arguments: &[Argument {
            name: "file",
            value: "FILE",
            about: "Only these files, by name or absolute path; every other file counts as it was loaded last",
            form: Form::Many,
            kind: Kind::Text,
        }],
        run: |host, arguments| Box::pin(preview::preview(host, arguments)),
    },
    Command {
        name: "versions",
        about: "List the versions of the scripts, with their batches and connections",
        arguments: &[
            namespace("Only those of this namespace"),
            number(
                "last",
                "COUNT",
                Form::Flag,
                "At most this many, the latest [default: 20]",
            ),
        ],
        run: |host, arguments| Box::pin(history::versions(host, arguments)),
    },
    Command {
        name: "diff",
        about: "Show the differences between the texts of two versions",
        arguments: &[
            number("a", "A", Form::Required, "Number of the one version"),
            number(
                "b",
                "B",
                Form::Optional,
                "Number of the other version [default: the one that serves]",
            ),
            namespace("The namespace; needed if several have these versions"),
        ],
        run: |host, arguments| Box::pin(history::diff(host, arguments)),
    },
    Command {
        name: "rollback",
        about: "Undo the last batch of saves, or go to the versions that a batch left, in all namespaces",
        arguments: &[
            number(
                "batch",
                "BATCH",
                Form::Optional,
                "Number of the batch whose versions serve again, earlier or later",
            ),
            namespace("Undo the batch that the version of this namespace belongs to"),
        ],
        run: |host, arguments| Box::pin(history::rollback(host, arguments)),
    },
    Command {
        name: "stage",
        about: "Make the files as they are serve some clients first; saves wait meanwhile",
        arguments: &[Argument {
            name: "audience",
            value: "WHOM",
            about: "A share of the clients such as `10%`, or the ids of sockets, whose clients have the new versions everywhere",
            form: Form::Many,
            kind: Kind::Text,
        }],
        run: |host, arguments| Box::pin(staging::stage(host, arguments)),
    },
    Command {
        name: "promote",
        about: "Make what is staged serve all clients",
        arguments: &[],
        run: |host, _| Box::pin(staging::promote(host)),
    },
    Command {
        name: "abandon",
        about: "Take back what is staged",
        arguments: &[],
        run: |host, _| Box::pin(staging::abandon(host)),
    },
    Command {
        name: "pause",
        about: "Let saves wait until `resume`",
        arguments: &[],
        run: |host, _| Box::pin(saves::pause(host)),
    },
    Command {
        name: "resume",
        about: "Load what was saved since `pause`, and let saves take effect again",
        arguments: &[],
        run: |host, _| Box::pin(saves::resume(host)),
    },
    Command {
        name: "inspect",
        about: "Show the state of a connection: listeners, timers, rooms, presence, data, variables. Without a socket, list the sockets",
        arguments: &[text(
            "socket",
            "SOCKET",
            Form::Optional,
            "Id of the socket, or NAMESPACE#ID",
        )],
        run: |host, arguments| Box::pin(sockets::inspect(host, arguments)),
    },
    Command {
        name: "why",
        about: "Tell why an event is heard, or is not: on one socket, or on all",
        arguments: &[
            text("event", "EVENT", Form::Required, "Name of the event"),
            text(
                "socket",
                "SOCKET",
                Form::Optional,
                "Id of the socket, or NAMESPACE#ID",
            ),
        ],
        run: |host, arguments| Box::pin(sockets::why(host, arguments)),
    },
    Command {
        name: "reset",
        about: "Give the variables and `socket.data` of a connection, or one variable, their initial values again",
        arguments: &[
            text(
                "socket",
                "SOCKET",
                Form::Optional,
                "Id of the socket, or NAMESPACE#ID; not with --all",
            ),
            text(
                "variable",
                "VARIABLE",
                Form::Optional,
                "Only this captured variable, or this key: `socket.data.KEY`",
            ),
            Argument {
                name: "all",
                value: "",
                about: "On every connection",
                form: Form::Switch,
                kind: Kind::Text,
            },
        ],
        run: |host, arguments| Box::pin(sockets::reset(host, arguments)),
    },
    Command {
        name: "rebind",
        about: "Let a connection begin anew: `on_connection` really runs again, and the client stays connected",
        arguments: &[text(
            "socket",
            "SOCKET",
            Form::Required,
            "Id of the socket, or NAMESPACE#ID",
        )],
        run: |host, arguments| Box::pin(sockets::rebind(host, arguments)),
    },
];

/// Returns the command with a name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// Runs a command.
pub(super) async fn run(
    host: Host,
    name: &str,
    arguments: Map<String, Value>,
) -> Result<Reply, Refusal> {
    let Some(command) = find(name) else {
        let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        return Err(Refusal::usage(format!("there is no command `{name}`"))
            .hint(format!("the commands are {}", names.join(", "))));
    };
    let arguments =
        Arguments::checked(name, command.arguments, arguments).map_err(Refusal::usage)?;
    (command.run)(host, arguments).await
}
