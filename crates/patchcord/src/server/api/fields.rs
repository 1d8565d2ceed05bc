//! Fields of the body of an operation, read by name.
//!
//! In: the JSON of one operation. Out: its fields, or an error in the words of the API: which field, which type it has
//! in JSON, and which fields there are.

use std::{fmt, ops::RangeInclusive};

use axum::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{error::ApiError, operation::Operation};
use crate::script::nearest;

/// Maximum length of an unknown name in an error, in characters.
const MAX_SHOWN: usize = 40;

/// Fields that a body has, and the operation that it is for.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    operation: Operation,
    given: Vec<(String, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads a body, and checks the names of its fields.
    ///
    /// # Errors
    /// Returns the error for the client.
    pub(super) fn read(operation: Operation, body: &'a str) -> Result<Self, ApiError> {
        let value: &RawValue =
            serde_json::from_str(body).map_err(|error| ApiError::json(&error))?;
        if !value.get().starts_with('{') {
            let got = type_of(value);
            let message =
                format!("expected an object, such as `{{\"namespace\": \"/\"}}`, and got {got}");
            return Err(bad_json(message));
        }
        let Given(given) =
            serde_json::from_str(value.get()).map_err(|error| ApiError::json(&error))?;
        let fields = Self { operation, given };
        fields.check_names()?;
        Ok(fields)
    }

    fn check_names(&self) -> Result<(), ApiError> {
        let (name, known) = (self.operation.name(), known(self.operation));
        let mut names: Vec<_> = self.given.iter().map(|(field, _)| field.as_str()).collect();
        if let Some(unknown) = names.iter().find(|field| !known.contains(field)) {
            let unknown: String = unknown.chars().take(MAX_SHOWN).collect();
            let hint = match nearest(&unknown, known.iter().copied()) {
                Some(near) => format!("there is `{near}`"),
                None => format!("there are `{}`", known.join("`, `")),
            };
            return Err(bad_json(format!(
                "`{name}` has no field `{unknown}`; {hint}"
            )));
        }
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        match pairs.find(|(one, next)| one == next) {
            Some((twice, _)) => Err(bad_json(format!("the field `{twice}` occurs twice"))),
            None => Ok(()),
        }
    }

    fn get(&self, field: &str) -> Option<&'a RawValue> {
        let mut given = self.given.iter();
        given
            .find(|(name, _)| name == field)
            .map(|(_, value)| *value)
    }

    /// Returns a string, if it is there.
    pub(super) fn string(&self, field: &str) -> Result<Option<String>, ApiError> {
        self.value(field, "a string")
    }

    /// Returns a string that must be there.
    pub(super) fn needed_string(&self, field: &str) -> Result<String, ApiError> {
        self.string(field)?
            .ok_or_else(|| self.missing(field, "a string"))
    }

    /// Returns a boolean; `false` if it is not there.
    pub(super) fn flag(&self, field: &str) -> Result<bool, ApiError> {
        Ok(self.value(field, "`true` or `false`")?.unwrap_or_default())
    }

    /// Returns an integer in a range, if it is there.
    pub(super) fn integer(
        &self,
        field: &str,
        range: &RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let Some(number) = self.value::<serde_json::Number>(field, &expected)? else {
            return Ok(None);
        };
        let integer = number
            .as_u64()
            .and_then(|number| usize::try_from(number).ok());
        match integer.filter(|integer| range.contains(integer)) {
            Some(integer) => Ok(Some(integer)),
            None => Err(ApiError::bad_request(self.wrong(field, &expected, &number))),
        }
    }

    /// Returns an array of strings; an empty one if it is not there.
    pub(super) fn strings(&self, field: &str) -> Result<Vec<String>, ApiError> {
        Ok(self.array(field)?.unwrap_or_default())
    }

    /// Returns an array of strings that must be there.
    pub(super) fn needed_strings(&self, field: &str) -> Result<Vec<String>, ApiError> {
        self.array(field)?
            .ok_or_else(|| self.missing(field, "an array of strings"))
    }

    fn array(&self, field: &str) -> Result<Option<Vec<String>>, ApiError> {
        let expected = "an array of strings";
        let Some(elements) = self.value::<Vec<&RawValue>>(field, expected)? else {
            return Ok(None);
        };
        let string = |(element, number): (&&'a RawValue, usize)| {
            if element.get().starts_with('"') {
                return self.parsed(field, element);
            }
            let got = format!("{} as element {number}", type_of(element));
            Err(bad_json(self.wrong(field, expected, &got)))
        };
        let strings = elements.iter().zip(1..).map(string);
        strings.collect::<Result<_, _>>().map(Some)
    }

    /// Returns an array of any values as it is written; `None` if it is not there, or `null`.
    pub(super) fn raw_array(&self, field: &str) -> Result<Option<&'a RawValue>, ApiError> {
        let value = self.get(field).filter(|value| value.get() != "null");
        match value {
            Some(value) if !value.get().starts_with('[') => {
                let got = type_of(value);
                Err(bad_json(self.wrong(field, "an array", &got)))
            }
            value => Ok(value),
        }
    }

    /// Returns the value of a field, if it is there. `expected` describes its type, for the error.
    fn value<T: Deserialize<'a>>(
        &self,
        field: &str,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        match serde_json::from_str(value.get()) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_data() => {
                let got = type_of(value);
                Err(bad_json(self.wrong(field, expected, &got)))
            }
            Err(_) => self.parsed(field, value).map(Some),
        }
    }

    /// Parses a value whose type is right.
    fn parsed<T: Deserialize<'a>>(&self, field: &str, value: &'a RawValue) -> Result<T, ApiError> {
        serde_json::from_str(value.get()).map_err(|_| {
            let name = self.operation.name();
            bad_json(format!("the field `{field}` of `{name}` is not valid JSON"))
        })
    }

    fn missing(&self, field: &str, expected: &str) -> ApiError {
        let name = self.operation.name();
        bad_json(format!("`{name}` needs the field `{field}`, {expected}"))
    }

    fn wrong(&self, field: &str, expected: &str, got: &dyn fmt::Display) -> String {
        let name = self.operation.name();
        format!("the field `{field}` of `{name}` takes {expected}, and got {got}")
    }
}

/// Returns the names of the fields of an operation.
const fn known(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Emit => &["namespace", "to", "except", "event", "args", "volatile"],
        Operation::Join | Operation::Leave => &["namespace", "to", "except", "rooms"],
        Operation::Disconnect => &["namespace", "to", "except", "close"],
        Operation::Sockets | Operation::Rooms => &["namespace", "to", "except", "after", "limit"],
        Operation::Count => &["namespace", "to", "except"],
        Operation::Call => &["namespace", "name", "args"],
    }
}

/// Returns the type of a value in the words of JSON.
fn type_of(value: &RawValue) -> &'static str {
    match value.get().chars().next() {
        Some('{') => "an object",
        Some('[') => "an array",
        Some('"') => "a string",
        Some('t' | 'f') => "a boolean",
        Some('n') => "`null`",
        _ => "a number",
    }
}

fn bad_json(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_json", message)
}

/// Entries of an object, in their order. The same name may occur several times.
struct Given<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Given<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Given<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Given(entries))
            }
        }

        from.deserialize_map(Entries)
    }
}
