//! Answer to a request, as a script sees it.

use bytes::Bytes;
use hyper::HeaderMap;
use rhai::{Dynamic, EvalAltResult, INT, ImmutableString, Map, Module};

use crate::{
    host::functions::{Functions, Signature},
    script::{parse_json, produce},
    value::{Binary, register_type},
};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Answer to a request.
#[derive(Debug, Clone)]
pub(in crate::host::services) struct HttpResponse {
    pub(in crate::host::services) status: u16,
    pub(super) headers: HeaderMap,
    pub(in crate::host::services) body: Bytes,
}

impl HttpResponse {
    fn text(&self) -> Fallible<&str> {
        produce(self.body.len())?;
        let text = std::str::from_utf8(&self.body);
        Ok(text.map_err(|_| "the body of the answer is not UTF-8: `res.body` is its bytes")?)
    }

    /// Returns everything that a script can read.
    fn content(&self) -> Option<Dynamic> {
        let body = Dynamic::from_blob(self.body.to_vec());
        let parts = [INT::from(self.status).into(), self.headers().into(), body];
        Some(Dynamic::from_array(parts.into()))
    }

    /// Returns the headers by name, in lower case. Values of repeated headers are joined by commas.
    fn headers(&self) -> Map {
        let mut map = Map::new();
        for name in self.headers.keys() {
            let values = self.headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            map.insert(name.as_str().into(), values.join(", ").into());
        }
        map
    }
}

/// Adds the name of the type, as scripts see it.
pub(in crate::host::services) fn with_type_names(mut module: Module) -> Module {
    register_type(&mut module, "HttpResponse", HttpResponse::content);
    module
}

/// Adds the properties and methods of an answer.
pub(in crate::host::services) fn functions(functions: Functions) -> Functions {
    functions
        .function(
            Signature::new("get$status(res)").doc("Status of the answer, such as 200.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { print(res.status); }\n});\n```"),
            |res: &mut HttpResponse| INT::from(res.status),
        )
        .function(
            Signature::new("get$ok(res)").doc("`true` if the status is from 200 to 299.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { socket.emit(\"saved\", res.ok); }\n});\n```"),
            |res: &mut HttpResponse| (200..300).contains(&res.status),
        )
        .function(
            Signature::new("get$headers(res)").doc(
                "Headers of the answer as a map; the names are in lower case: `res.headers[\"content-type\"]`.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { print(res.headers[\"content-type\"]); }\n});\n```",
            ),
            |res: &mut HttpResponse| res.headers(),
        )
        .function(
            Signature::new("get$body(res)").doc("Body of the answer, as binary data.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { socket.emit(\"picture\", res.body); }\n});\n```"),
            |res: &mut HttpResponse| Binary::from(res.body.to_vec()),
        )
        .function(
            Signature::new("text(res)").doc("Returns the body of an HTTP answer as a string. Throws if it is not UTF-8.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { print(res.text()); }\n});\n```"),
            |res: &mut HttpResponse| -> Fallible<ImmutableString> { Ok(res.text()?.into()) },
        )
        .function(
            Signature::new("json(res)").doc(
                "Parses the body of an HTTP answer as JSON: objects become maps. Throws if it is not JSON.\n\n```rhai\nhttp::get(\"https://api.example.com/users/7\", |err, res| {\n    if err == () { socket.data.name = res.json().name; }\n});\n```",
            ),
            |res: &mut HttpResponse| -> Fallible<Dynamic> { parse_json(res.text()?) },
        )
}
