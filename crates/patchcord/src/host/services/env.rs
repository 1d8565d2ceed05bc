//! `env`: variables of the environment.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rhai::EvalAltResult;

use crate::{
    diagnostic::Diagnostic,
    host::{
        functions::{Functions, Signature},
        options::EnvRule,
    },
    script::{ArgumentCheck, misuse},
    value::Secret,
};

/// Variables that scripts may read. They are read once, when the host is built.
#[derive(Debug)]
pub(crate) struct Environment {
    rules: Vec<EnvRule>,
    variables: HashMap<String, Secret>,
    /// Variables that a test has set, in place of those of the environment.
    stand_ins: Option<Arc<StandIns>>,
}

type StandIns = Mutex<HashMap<String, Arc<str>>>;

impl Environment {
    pub(super) fn new(rules: &[EnvRule], in_test: bool) -> Self {
        // Files that cannot be read have been reported: see `Options::validate`.
        let variables = rules
            .iter()
            .flat_map(|rule| rule.variables().unwrap_or_default());
        let secret = |(name, value)| (name, Secret::new(value));
        Self {
            rules: rules.to_vec(),
            variables: variables.map(secret).collect(),
            stand_ins: in_test.then(Arc::default),
        }
    }

    /// Sets a variable for a test.
    pub(crate) fn stand_in(&self, name: &str, value: &str) {
        if let Some(stand_ins) = &self.stand_ins {
            stand_ins.lock().insert(name.to_owned(), value.into());
        }
    }

    fn variable(&self, name: &str) -> Result<Secret, String> {
        if let Some(stand_ins) = self.stand_ins.clone() {
            // Scripts are loaded before the test that sets the variable begins, so it is read when it is used.
            let name = name.to_owned();
            return Ok(Secret::deferred(move || {
                let set = stand_ins.lock().get(&name).cloned();
                set.ok_or_else(|| {
                    format!("the variable `{name}` is not set in this test: call `env_is(\"{name}\", value)`")
                })
            }));
        }
        if !self.allows(name) {
            return Err(format!(
                "`env` may not read `{name}`: allow it with `--allow-env {name}`"
            ));
        }
        match self.variables.get(name) {
            None => Err(format!("the variable `{name}` is not set")),
            // A secret that is empty by mistake would let everybody in.
            Some(value) if value.is("") == Ok(true) => {
                Err(format!("the variable `{name}` is empty"))
            }
            Some(value) => Ok(value.clone()),
        }
    }

    fn allows(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.allows(name))
    }
}

const DOC: &str = "\
Returns a variable of the environment, such as a key, as a secret: `print`, errors, payloads and `io.data` do not show \
it. `==` compares it with a string in constant time, `+` puts a string before or after it, and functions for keys and \
headers accept it. `reveal()` returns its text. Only variables that `--allow-env` names can be read; any other one, and \
one that is not set, is an error. A test of scripts sets it with `env_is`. The equivalent in Node is `process.env`, \
whose values are plain strings.

```rhai
fn on_handshake(socket) {
    if socket.handshake.auth.token != env(\"CHAT_TOKEN\") { throw \"unauthorized\"; }
}
```";

/// Adds `env`.
pub(super) fn register(environment: &Arc<Environment>, functions: Functions) -> Functions {
    let environment = environment.clone();
    let env = move |name: &str| -> Result<Secret, Box<EvalAltResult>> {
        environment.variable(name).map_err(misuse)
    };
    functions.function(Signature::new("env(name)").doc(DOC), env)
}

/// Returns the check of calls: a variable that is not allowed is a warning.
pub(super) fn check(environment: &Arc<Environment>) -> ArgumentCheck {
    let environment = environment.clone();
    ArgumentCheck::new(move |name| {
        let name =
            name.filter(|name| environment.stand_ins.is_none() && !environment.allows(name))?;
        let warning = Diagnostic::warning(format!("scripts may not read the variable `{name}`"));
        Some(warning.hint(format!("`--allow-env {name}` allows it")))
    })
}
