//! Comments of the functions of the module `http`.

/// Returns the documentation of a function for one method.
pub(super) fn of_method(function: &str, method: &str) -> String {
    let example = match method {
        "GET" | "HEAD" => format!(
            "{function}(\"https://api.example.com/users/7\", #{{ headers: #{{ authorization: env(\"API_KEY\") }} }}, |err, res| {{\n    \
                if err == () && res.ok {{ socket.emit(\"status\", res.status); }}\n}});"
        ),
        _ => format!(
            "{function}(\"https://api.example.com/messages/7\", #{{ json: #{{ text: \"hi\" }} }}, |err, res| {{\n    \
                if err != () {{ log::warn(err); }}\n}});"
        ),
    };
    let effect = match method {
        "GET" | "HEAD" => "If the client disconnects, the request ends.",
        _ => {
            "Without a closure, nobody learns of the answer, but a failure is announced. The request goes on if the \
             client disconnects, so a `disconnect` handler can use it too."
        }
    };
    format!(
        "Sends an HTTP request with the method {method}, and calls the closure with an error text, or with `()` and the \
         answer. {effect} {RULES} The equivalent in Node is `fetch`.\n\n```rhai\n{example}\n```"
    )
}

/// Rules that are the same for all methods.
const RULES: &str = "\
Only hosts that `--allow-net` names can be reached. Options: `headers` (strings and secrets), `query` (a map), one of \
`json`, `form` and `body` (a string or binary data, at most 256 KiB), `timeout` in ms (10,000; at most 60,000), \
`max_size` of the answer in bytes (1 MiB; at most 16 MiB), `retry` (number of further attempts after a failure to \
connect and the statuses 429, 500, 502, 503 and 504, at growing intervals; at most 5), `sign` (a key: the header \
`x-signature` is then `sha256=` and the HMAC-SHA-256 of the body, in hexadecimal digits). A redirect is an answer, and \
is not followed. Every status is an answer: see `res.ok`. In the drafts of an edit, nothing is sent.";

/// Documentation of `http::request`.
pub(super) const REQUEST: &str = "\
Sends an HTTP request with a method, such as `\"OPTIONS\"`, and calls the closure with an error text, or with `()` and \
the answer. The options are those of `http::get`.

```rhai
http::request(\"OPTIONS\", \"https://api.example.com/users\", #{ timeout: 3000 }, |err, res| {
    if err == () { print(res.headers); }
});
```";
