//! Options that a script passes to a service, in a map such as `#{ timeout: 3000 }`.

use rhai::{Dynamic, INT, ImmutableString, Map};

use crate::{diagnostic::type_word, script::nearest};

/// Options of one call. Only known ones are accepted.
pub(super) struct Given {
    function: &'static str,
    map: Map,
}

impl Given {
    /// Checks the names of the options.
    pub(super) fn new(function: &'static str, map: Map, known: &[&str]) -> Result<Self, String> {
        let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(Self { function, map });
        };
        let hint = match nearest(unknown, known.iter().copied()) {
            Some(near) => format!("there is `{near}`"),
            None => format!("there are `{}`", known.join("`, `")),
        };
        Err(format!("`{function}` has no option `{unknown}`; {hint}"))
    }

    /// Returns an option, unless it is missing or `()`.
    pub(super) fn take(&mut self, name: &str) -> Option<Dynamic> {
        let value = self.map.remove(name)?.flatten();
        (!value.is_unit()).then_some(value)
    }

    /// Returns an option that is a string.
    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let text = value
            .read_lock::<ImmutableString>()
            .map(|text| text.to_string());
        text.map(Some)
            .ok_or_else(|| self.wrong(name, "a string", &value))
    }

    /// Returns an option that is a string, or an array of strings.
    pub(super) fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let expected = "a string or an array of strings";
        if let Some(text) = value.read_lock::<ImmutableString>() {
            return Ok(Some(vec![text.to_string()]));
        }
        let list = value.read_lock::<rhai::Array>();
        let list = list.ok_or_else(|| self.wrong(name, expected, &value))?;
        let text = |element: &Dynamic| {
            let text = element.clone().into_immutable_string();
            text.map(|text| text.to_string())
                .map_err(|_| self.wrong(name, expected, element))
        };
        list.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// Returns an option that is an integer from `least` to `most`.
    pub(super) fn integer(
        &mut self,
        name: &str,
        (least, most): (INT, INT),
    ) -> Result<Option<INT>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let expected = format!("an integer from {least} to {most}");
        let number = value
            .as_int()
            .map_err(|_| self.wrong(name, &expected, &value))?;
        match (least..=most).contains(&number) {
            true => Ok(Some(number)),
            false => Err(format!(
                "option `{name}` of `{}` takes {expected}, and got {number}",
                self.function
            )),
        }
    }

    /// Returns an option that is `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let flag = value.as_bool();
        flag.map(Some)
            .map_err(|_| self.wrong(name, "`true` or `false`", &value))
    }

    /// Returns an option that is a map.
    pub(super) fn map(&mut self, name: &str) -> Result<Option<Map>, String> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wrong = self.wrong(name, "a map", &value);
        value.try_cast::<Map>().map(Some).ok_or(wrong)
    }

    /// Returns the error for an option of another type.
    pub(super) fn wrong(&self, name: &str, expected: &str, value: &Dynamic) -> String {
        let got = type_word(value.type_name());
        format!(
            "option `{name}` of `{}` takes {expected}, and got {got}",
            self.function
        )
    }
}
