//! Paths of namespaces, which are patterns if they have parameters: `/room/{id}`.

use std::fmt;

use rhai::Map;

/// Path of a namespace. A path with parameters matches many paths.
///
/// ```
/// use patchcord::connection::NamespacePattern;
///
/// let pattern = NamespacePattern::new("/room/{id}");
/// assert_eq!(pattern.parameters("/room/7").unwrap()["id"].to_string(), "7");
/// assert!(pattern.parameters("/room").is_none());
/// assert_eq!(pattern.shape(), NamespacePattern::new("/room/{name}").shape());
/// ```
#[derive(Clone)]
pub struct NamespacePattern {
    /// Matcher; `None` if the path has no parameters.
    router: Option<matchit::Router<()>>,
    shape: String,
}

impl fmt::Debug for NamespacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamespacePattern")
            .field(&self.shape)
            .finish()
    }
}

impl NamespacePattern {
    /// Parses the pattern of a path. A path whose braces cannot be parsed as parameters matches only itself.
    pub fn new(path: &str) -> Self {
        let mut router = matchit::Router::new();
        let is_pattern = path.contains('{') && router.insert(path, ()).is_ok();
        Self {
            shape: if is_pattern {
                without_names(path)
            } else {
                path.to_owned()
            },
            router: is_pattern.then_some(router),
        }
    }

    /// Creates the pattern that matches exactly one path. The path may have braces, because a client chose it.
    pub(super) fn exactly(path: &str) -> Self {
        Self {
            router: None,
            shape: path.to_owned(),
        }
    }

    /// Returns `true` if the path has parameters.
    pub const fn is_dynamic(&self) -> bool {
        self.router.is_some()
    }

    /// Returns the pattern without the names of its parameters: two patterns with the same shape match the same paths.
    pub fn shape(&self) -> &str {
        &self.shape
    }

    /// Returns the values of the parameters in `path`, by name; `None` if `path` does not match.
    pub fn parameters(&self, path: &str) -> Option<Map> {
        let found = self.router.as_ref()?.at(path).ok()?;
        let parameters = found.params.iter();
        Some(
            parameters
                .map(|(name, value)| (name.into(), value.to_owned().into()))
                .collect(),
        )
    }
}

/// Returns a pattern without the parameter names between its braces.
fn without_names(pattern: &str) -> String {
    let mut is_name = false;
    let kept = pattern.chars().filter(|c| {
        // A catch-all, `{*rest}`, matches other paths than a parameter does.
        let is_kept = matches!(c, '{' | '}' | '*');
        is_name = if is_kept { *c != '}' } else { is_name };
        is_kept || !is_name
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_one_segment_that_is_not_empty() {
        let pattern = NamespacePattern::new("/room/{id}/{seat}");
        let parameters = pattern.parameters("/room/7/a b").unwrap();
        assert_eq!(parameters["id"].to_string(), "7");
        assert_eq!(parameters["seat"].to_string(), "a b");
        for path in [
            "/room/7",
            "/room/7/",
            "/room//a",
            "/room/7/a/",
            "/hall/7/a",
            "",
        ] {
            assert!(pattern.parameters(path).is_none(), "{path}");
        }
    }

    #[test]
    fn patterns_of_one_shape_differ_by_the_names_of_parameters_only() {
        let shape = |path: &str| NamespacePattern::new(path).shape().to_owned();
        assert_eq!(shape("/room/{id}"), shape("/room/{name}"));
        assert_ne!(shape("/room/{id}"), shape("/room/{id}/{seat}"));
        assert_ne!(shape("/room/{id}"), shape("/room/id"));
        assert_ne!(shape("/{id}"), shape("/{*rest}"));
        assert_eq!(shape("/dynamic-{n}"), shape("/dynamic-{number}"));
    }

    #[test]
    fn a_parameter_may_be_a_part_of_a_segment_or_the_rest_of_a_path() {
        let value = |pattern: &str, path: &str, name: &str| {
            let parameters = NamespacePattern::new(pattern).parameters(path)?;
            Some(parameters[name].to_string())
        };
        assert_eq!(
            value("/dynamic-{n}", "/dynamic-7", "n").as_deref(),
            Some("7")
        );
        assert_eq!(value("/dynamic-{n}", "/dynamic-", "n"), None);
        assert_eq!(value("/{*rest}", "/a/b", "rest").as_deref(), Some("a/b"));
    }

    #[test]
    fn a_path_without_parameters_stands_for_itself() {
        let path = NamespacePattern::new("/chat");
        assert!(!path.is_dynamic() && path.parameters("/chat").is_none());
        assert_eq!(path.shape(), "/chat");
    }
}
