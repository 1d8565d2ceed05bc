//! `http`: requests to other services.

mod client;
mod connect;
mod docs;
mod request;
mod response;
mod stand_in;
mod target;

use std::{
    any::{TypeId, type_name},
    sync::Arc,
};

use rhai::{Dynamic, FnPtr, ImmutableString, Map};
use tokio_util::task::TaskTracker;

pub(super) use self::request::Prepared;
pub(super) use self::response::{functions as response_functions, with_type_names};
pub(crate) use self::stand_in::StandIns;
use self::{client::Client, response::HttpResponse, target::Target};
use crate::{
    diagnostic::Diagnostic,
    host::{
        functions::{
            Functions, Signature,
            async_fn::{Answer, AsyncContext},
        },
        options::NetRule,
    },
    script::ArgumentCheck,
};

/// HTTP requests of a host.
#[derive(Debug)]
pub(crate) struct Http {
    rules: Arc<[NetRule]>,
    client: Client,
    /// Requests that go on after their clients have left, for which a close waits.
    unattended: TaskTracker,
    /// Answers that a test has set, in place of the network.
    pub(crate) stand_ins: Option<StandIns>,
}

impl Http {
    pub(super) fn new(rules: &[NetRule], in_test: bool) -> Self {
        let rules: Arc<[NetRule]> = rules.into();
        Self {
            client: Client::new(rules.clone()),
            rules,
            unattended: TaskTracker::new(),
            stand_ins: in_test.then(StandIns::default),
        }
    }

    fn allows(&self, target: &Target) -> bool {
        let mut rules = self.rules.iter();
        self.stand_ins.is_some() || rules.any(|rule| rule.allows(target.destination()))
    }

    /// Checks that scripts may reach a target.
    ///
    /// # Errors
    /// Names the flag that allows it.
    pub(super) fn check(&self, target: &Target) -> Result<(), String> {
        match self.allows(target) {
            true => Ok(()),
            false => Err(format!(
                "scripts may not reach `{0}`: allow it with `--allow-net {0}`",
                target.host_and_port()
            )),
        }
    }

    /// Waits for the requests that go on after their clients have left.
    pub(super) async fn idle(&self) {
        self.unattended.close();
        self.unattended.wait().await;
    }

    /// Sends a request, or answers it for a test.
    pub(super) async fn send(&self, request: &Prepared) -> Result<HttpResponse, String> {
        match &self.stand_ins {
            Some(stand_ins) => stand_ins.answer(request),
            None => self.client.send(request).await,
        }
    }
}

/// Functions that have their method in their name.
const FUNCTIONS: [(&str, &str); 6] = [
    ("http::get", "GET"),
    ("http::head", "HEAD"),
    ("http::post", "POST"),
    ("http::put", "PUT"),
    ("http::patch", "PATCH"),
    ("http::delete", "DELETE"),
];

/// Name of the function whose first argument is the method.
const REQUEST: &str = "http::request";

/// Returns the module `http`.
pub(super) fn functions(http: &Arc<Http>) -> Functions {
    let mut functions = Functions::new();
    for (function, method) in FUNCTIONS {
        let begin = |mut args: std::vec::IntoIter<Dynamic>| {
            let mut next = || args.next().unwrap_or_default();
            (method.into(), next(), next())
        };
        // A read whose answer nobody gets has no purpose.
        let is_read = ["GET", "HEAD"].contains(&method);
        let doc = docs::of_method(function, method);
        functions = add(
            http,
            functions,
            (function, "url"),
            &doc,
            (false, true),
            begin,
        );
        functions = add(
            http,
            functions,
            (function, "url, options"),
            &doc,
            (true, true),
            begin,
        );
        if !is_read {
            functions = add(
                http,
                functions,
                (function, "url"),
                &doc,
                (false, false),
                begin,
            );
            functions = add(
                http,
                functions,
                (function, "url, options"),
                &doc,
                (true, false),
                begin,
            );
        }
    }
    let begin = |mut args: std::vec::IntoIter<Dynamic>| {
        let mut next = || args.next().unwrap_or_default();
        (next(), next(), next())
    };
    let parameters = (REQUEST, "method, url, options");
    add(
        http,
        functions,
        parameters,
        docs::REQUEST,
        (true, true),
        begin,
    )
}

/// Adds one form of a function: with or without options and a closure. `split` returns the method, the URL and the
/// options from the arguments.
fn add(
    http: &Arc<Http>,
    functions: Functions,
    (function, parameters): (&'static str, &str),
    doc: &str,
    (has_options, has_closure): (bool, bool),
    split: impl Fn(std::vec::IntoIter<Dynamic>) -> (Dynamic, Dynamic, Dynamic) + Send + Sync + 'static,
) -> Functions {
    let http = http.clone();
    let begin = move |context: AsyncContext, args: Vec<Dynamic>| {
        let (method, url, options) = split(args.into_iter());
        let method = method.into_immutable_string().unwrap_or_default();
        let url = url.into_immutable_string().unwrap_or_default();
        let options = options.try_cast::<Map>().unwrap_or_default();
        let request = Prepared::new(function, &method, &url, options)?;
        begin(&http, context, request)
    };
    let strings = parameters.split(", ").count() - usize::from(has_options);
    let string = (
        TypeId::of::<ImmutableString>(),
        type_name::<ImmutableString>(),
    );
    let mut types = vec![string; strings];
    types.extend(has_options.then_some((TypeId::of::<Map>(), type_name::<Map>())));
    types.extend(has_closure.then_some((TypeId::of::<FnPtr>(), type_name::<FnPtr>())));
    let name = function.strip_prefix("http::").unwrap_or(function);
    let signature = Signature::new(&format!("{name}({parameters})")).doc(doc);
    functions.service(function, signature, &types, begin)
}

/// Begins a request.
///
/// # Errors
/// Fails if the request is not allowed.
fn begin(http: &Arc<Http>, context: AsyncContext, request: Prepared) -> Result<Answer, String> {
    http.check(&request.target)?;
    if http.stand_ins.is_some() {
        context.wait_in_tests();
    }
    let http = http.clone();
    Ok(Box::pin(async move {
        // If the client has left, nobody waits for what a read returns. Anything else is done to the end, so that a
        // `disconnect` handler can report to another service.
        let unattended = (!request.is_read()).then(|| http.unattended.token());
        let answer = match unattended {
            None => tokio::select! {
                answer = http.send(&request) => answer,
                () = context.cancelled() => return Err("the client has disconnected".to_owned()),
            },
            // A close waits until the token is dropped, after the call is counted.
            Some(_) => http.send(&request).await,
        };
        let target = request.target.host_and_port();
        context
            .served(request.function, &target, answer)
            .map(Dynamic::from)
    }))
}

/// Returns the checks of calls: a host that is not allowed is a warning.
pub(super) fn checks(http: &Arc<Http>) -> impl Iterator<Item = (&'static str, ArgumentCheck)> {
    let http = http.clone();
    let check = ArgumentCheck::new(move |url| {
        let target = Target::of_beginning(url?)?;
        if http.allows(&target) {
            return None;
        }
        let host = target.host_and_port();
        let warning = Diagnostic::warning(format!("scripts may not reach `{host}`"));
        Some(warning.hint(format!("`--allow-net {host}` allows it")))
    });
    FUNCTIONS
        .map(|(function, _)| (function, check.clone()))
        .into_iter()
}
