//! Finds the known version that listens to an event.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Reloader,
    history::{Script, Served},
};
use crate::{connection::Namespace, script::Version};

/// Place in the code of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Code {
    /// Name of the file.
    pub file: Arc<str>,
    /// Number of the line, from 1.
    pub line: usize,
    /// Number of the version.
    pub version: u64,
}

/// Version that listens to an event.
#[derive(Debug, Clone)]
pub(in crate::host) enum ListeningCode {
    /// The version that serves listens to it.
    Serving(Code),
    /// An earlier version listened to it last; `since` is the number of the version that replaced that one.
    Earlier { last: Code, since: u64 },
    /// A later version, which was rolled back, listens to it.
    RolledBack(Code),
    /// No known version listens to it.
    Never,
}

impl Code {
    /// Creates a place in the code of a version.
    pub(in crate::host) const fn new(file: Arc<str>, line: usize, version: u64) -> Self {
        Self {
            file,
            line,
            version,
        }
    }

    fn of(version: &Version, event: &str) -> Option<Self> {
        let (file, line) = version.places().listening(event)?;
        Some(Self::new(file, line, version.number()))
    }
}

impl Reloader {
    /// Returns the version of a namespace that listens to an event. For an instance, these are the versions of its
    /// dynamic namespace.
    pub(in crate::host) async fn listening_code(
        &self,
        namespace: &Namespace,
        event: &str,
    ) -> ListeningCode {
        let serving = namespace.version();
        if let Some(code) = serving
            .as_ref()
            .and_then(|version| Code::of(version, event))
        {
            return ListeningCode::Serving(code);
        }
        let now = serving
            .as_ref()
            .map_or(u64::MAX, |version| version.number());
        let mut known = {
            let scripts = self.scripts.lock().await;
            let mut all = scripts.by_namespace.iter();
            let own = all.find(|(path, script)| is_of(path, script, namespace, serving.as_ref()));
            own.map_or_else(Vec::new, |(_, script)| {
                script.versions.iter().cloned().collect()
            })
        };
        known.sort_by_key(|served| served.number);
        let code = |served: &Served| self.code_of(served, event);
        let (earlier, later): (Vec<_>, Vec<_>) =
            known.iter().partition(|served| served.number < now);
        for (nth, served) in earlier.iter().enumerate().rev() {
            if let Some(last) = code(served) {
                let next = earlier.get(nth + 1).map(|served| served.number);
                let since = next.unwrap_or(now);
                return ListeningCode::Earlier { last, since };
            }
        }
        let rolled_back = later.into_iter().rev().find_map(code);
        rolled_back.map_or(ListeningCode::Never, ListeningCode::RolledBack)
    }

    fn code_of(&self, served: &Served, event: &str) -> Option<Code> {
        let mut texts = served.files.iter().filter_map(|file| file.text.as_deref());
        if served.compiled.is_none() && !texts.any(|text| text.contains(event)) {
            return None;
        }
        Code::of(&*served.version(&self.scripting).ok()?, event)
    }
}

/// Returns `true` if a script is that of a namespace, or of its dynamic namespace if the namespace is an instance.
fn is_of(
    path: &str,
    script: &Script,
    namespace: &Namespace,
    serving: Option<&Arc<Version>>,
) -> bool {
    let serves = script.serves();
    let is_same = serves
        .as_ref()
        .zip(serving)
        .is_some_and(|(a, b)| Arc::ptr_eq(a, b));
    path == &**namespace.path() || is_same
}
