//! Stand-ins for other services in tests of scripts.

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderName, header::HeaderValue};
use parking_lot::Mutex;
use rhai::{Dynamic, Map};

use super::{request::Prepared, response::HttpResponse};
use crate::{host::services::given::Given, value::to_json};

/// Answers that a test has set, and the requests that were made.
#[derive(Debug, Default)]
pub(crate) struct StandIns {
    answers: Mutex<Vec<StandIn>>,
    requests: Mutex<Vec<Map>>,
}

#[derive(Debug)]
struct StandIn {
    /// URL, perhaps with a method before it, and perhaps with `*` at its end.
    url: String,
    answer: Result<HttpResponse, String>,
}

impl StandIn {
    fn fits(&self, method: &str, url: &str) -> bool {
        let wanted = match self.url.split_once(' ') {
            Some((wanted, _)) if wanted != method => return false,
            Some((_, wanted)) => wanted,
            None => &self.url,
        };
        match wanted.strip_suffix('*') {
            Some(beginning) => url.starts_with(beginning),
            None => url == wanted,
        }
    }
}

impl StandIns {
    /// Sets the answer to requests.
    pub(crate) fn set(&self, url: &str, answer: Map) -> Result<(), String> {
        let known = ["status", "headers", "json", "body", "error"];
        let mut given = Given::new("http_answer", answer, &known)?;
        let error = given.string("error")?;
        let answer = match error {
            Some(error) => Err(error),
            None => Ok(response(&mut given)?),
        };
        // The last answer that fits is the one that counts.
        self.answers.lock().insert(
            0,
            StandIn {
                url: url.to_owned(),
                answer,
            },
        );
        Ok(())
    }

    /// Returns the requests since the last call of this function, as maps.
    pub(crate) fn take_requests(&self) -> Vec<Map> {
        std::mem::take(&mut self.requests.lock())
    }

    pub(super) fn answer(&self, request: &Prepared) -> Result<HttpResponse, String> {
        let (method, url) = (request.method.as_str(), request.target.uri.to_string());
        self.requests.lock().push(recorded(request, &url));
        let answers = self.answers.lock();
        let fitting = answers.iter().find(|answer| answer.fits(method, &url));
        let answer = fitting.map(|fitting| fitting.answer.clone());
        answer.unwrap_or_else(|| {
            Err(format!(
                "this test has no answer to {method} {url}: call `http_answer(\"{url}\", #{{ json: ... }})`"
            ))
        })
    }
}

fn response(given: &mut Given) -> Result<HttpResponse, String> {
    let status = given.integer("status", (100, 599))?.unwrap_or(200);
    let mut headers = HeaderMap::new();
    for (name, value) in given.map("headers")?.unwrap_or_default() {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value.to_string()).map_err(|error| error.to_string())?;
        headers.insert(name, value);
    }
    let json = given.take("json").map(|value| to_json(&value));
    let body = match json.transpose().map_err(|error| error.to_string())? {
        Some(json) => json,
        None => given.string("body")?.unwrap_or_default(),
    };
    Ok(HttpResponse {
        status: u16::try_from(status).unwrap_or_default(),
        headers,
        body: Bytes::from(body),
    })
}

/// Describes a request for the test. Secrets are not hidden, because a test has chosen them itself.
fn recorded(request: &Prepared, url: &str) -> Map {
    let text = |bytes: &[u8]| Dynamic::from(String::from_utf8_lossy(bytes).into_owned());
    let headers = request.headers.iter();
    let headers: Map = headers
        .map(|(name, value)| (name.as_str().into(), text(value.as_bytes())))
        .collect();
    Map::from([
        ("method".into(), request.method.to_string().into()),
        ("url".into(), url.to_owned().into()),
        ("headers".into(), headers.into()),
        ("body".into(), text(&request.body)),
    ])
}
