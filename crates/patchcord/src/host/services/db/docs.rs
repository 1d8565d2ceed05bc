//! Comments of the functions of scripts, from which the reference is generated.

pub(super) const QUERY: &str = "\
Runs a statement that returns rows, and passes them to a closure as an array of maps, whose keys are the names of the \
columns. The script does not wait. The closure receives `(err, rows)`: `err` is `()`, or a string with the error of the \
database and its SQLSTATE.

Values belong into the array of parameters, as `$1`, `$2` and so on in the statement, and never into the text of the \
statement, where a client could change its meaning. One call runs one statement. A statement that writes and returns \
rows, such as `insert ... returning id`, is possible too.

The database is `main` (`--db main=URL`), which `--allow-db main` must allow; `db::named` selects another one. A result \
has at most 1,000 rows (`--db-max-rows`) and 4 MiB (`--db-max-bytes`), and a call takes at most 5 seconds \
(`--db-timeout`): beyond that, the statement is cancelled, and `err` names the limit. Calls run at the same time; what \
must follow another call belongs into its closure. After the socket has disconnected, the statement still runs, and the \
closure is not called. An edit of the script runs no statement again, because drafts skip the call. The equivalent in Node is `await pool.query(text, values)`.

```rhai
fn on_connection(socket) {
    socket.on(\"history\", |room| {
        db::query(\"select id, text from messages where room = $1 order by id desc limit 50\", [room], |err, rows| {
            if err == () { socket.emit(\"history\", rows); } else { socket.emit(\"failed\"); }
        });
    });
}
```";

pub(super) const EXECUTE: &str = "\
Runs a statement that returns no rows, such as `insert`, `update`, `delete` or `create table`, and passes the number of \
rows that it has changed to a closure, which receives `(err, count)`. Rows that the statement returns are discarded. The \
parameters and limits are those of `db::query`. After a timeout, the statement may have taken effect nevertheless. The \
equivalent in Node is `(await pool.query(text, values)).rowCount`.

```rhai
fn on_load() {
    db::execute(\"create table if not exists messages (id integer primary key, room text, text text)\", |err, count| {
        if err != () { print(err); }
    });
}

fn on_connection(socket) {
    socket.on(\"say\", |room, text| {
        db::execute(\"insert into messages (room, text) values ($1, $2)\", [room, text], |err, count| {
            if err == () { io.to(room).emit(\"said\", text); }
        });
    });
}
```";

pub(super) const TRANSACTION: &str = "\
Runs several statements, which take effect together or not at all, and passes their results to a closure, which receives \
`(err, results)`. Each statement is an array: `[sql]`, `[sql, parameters]`, or `[sql, parameters, rows]`, where `rows` is \
the number of rows that the statement must change or return; any other number is an error, and undoes everything. A \
result is an array of rows if the statement returns rows, and otherwise the number of changed rows. The limits are those \
of `db::query`, for all statements together.

All statements are given at once, because a script cannot wait between them, and a transaction that waits for a script \
would block other clients. A condition belongs into a statement, with the number of rows that it must change. The \
equivalent in Node is a connection with `BEGIN`, several queries, and `COMMIT`.

```rhai
fn on_connection(socket) {
    socket.on(\"pay\", |from, to, amount| {
        db::transaction([
            [\"update accounts set balance = balance - $2 where id = $1 and balance >= $2\", [from, amount], 1],
            [\"update accounts set balance = balance + $2 where id = $1\", [to, amount], 1],
        ], |err, results| {
            socket.emit(if err == () { \"paid\" } else { \"refused\" });
        });
    });
}
```";

pub(super) const NAMED: &str = "\
Returns the database with a name, whose methods `query`, `execute` and `transaction` are those of the module `db`. Throws \
if `--allow-db` does not name it, or `--db` does not declare it. The database of `db::query` and the other functions is \
`main`.

```rhai
fn on_disconnect(socket, reason) {
    db::named(\"logs\").execute(\"insert into visits (reason) values ($1)\", [reason], |err, count| { });
}
```";
