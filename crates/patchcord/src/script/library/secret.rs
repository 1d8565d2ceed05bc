//! Functions of [`Secret`].

use rhai::{
    EvalAltResult, ImmutableString, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::Fallible;
use crate::{
    script::{budget::produce, limit, misuse},
    value::{HIDDEN, Secret, register_type},
};

pub(super) fn register(module: &mut Module) {
    register_type::<Secret>(module, "Secret", |secret| {
        let text = secret.reveal().ok()?;
        Some(ImmutableString::from(&*text).into())
    });
    combine_with_exported_module!(module, "secret", functions);
}

/// Compares a secret with a text, and charges the call for it.
fn is(secret: &Secret, text: &str) -> Fallible<bool> {
    produce(text.len())?;
    secret.is(text).map_err(misuse)
}

/// Puts a text before or after a secret. The result has the limits of strings.
fn joined(secret: &Secret, before: &str, after: &str) -> Fallible<Secret> {
    let own = secret.reveal().map_or(0, |text| text.len());
    let length = before.len() + own + after.len();
    produce(length)?;
    if length > limit(|limits| limits.string_size) {
        let problem = "a secret grows beyond the limit of strings (`--max-string-size`)";
        return Err(misuse(problem.to_owned()));
    }
    secret.surrounded(before, after).map_err(misuse)
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the text of a secret, for values that are not secret, such as the address of another service. From then
    /// on, nothing hides the text.
    ///
    /// ```rhai
    /// let url = env("API_URL").reveal() + "/users";
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn reveal(secret: &mut Secret) -> Result<ImmutableString, Box<EvalAltResult>> {
        let text = secret.reveal().map_err(misuse)?;
        produce(text.len())?;
        Ok((&*text).into())
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub(crate) fn hidden(_: &mut Secret) -> ImmutableString {
        HIDDEN.into()
    }

    #[rhai_fn(name = "+", return_raw)]
    pub(crate) fn after(
        before: ImmutableString,
        secret: Secret,
    ) -> Result<Secret, Box<EvalAltResult>> {
        joined(&secret, &before, "")
    }

    #[rhai_fn(name = "+", return_raw)]
    pub(crate) fn before(
        secret: Secret,
        after: ImmutableString,
    ) -> Result<Secret, Box<EvalAltResult>> {
        joined(&secret, "", &after)
    }

    #[rhai_fn(name = "+=", return_raw)]
    pub(crate) fn append(
        context: NativeCallContext<'_>,
        _: &mut ImmutableString,
        _: Secret,
    ) -> Result<(), Box<EvalAltResult>> {
        let message = "`+=` cannot add a secret to a string: write `text = text + secret`";
        Err(EvalAltResult::ErrorRuntime(message.into(), context.call_position()).into())
    }

    #[rhai_fn(name = "==", return_raw)]
    pub(crate) fn is_text(
        secret: Secret,
        text: ImmutableString,
    ) -> Result<bool, Box<EvalAltResult>> {
        is(&secret, &text)
    }

    #[rhai_fn(name = "==", return_raw)]
    pub(crate) fn text_is(
        text: ImmutableString,
        secret: Secret,
    ) -> Result<bool, Box<EvalAltResult>> {
        is(&secret, &text)
    }

    #[rhai_fn(name = "==", return_raw)]
    pub(crate) fn are_equal(a: Secret, b: Secret) -> Result<bool, Box<EvalAltResult>> {
        is(&a, &b.reveal().map_err(misuse)?)
    }

    #[rhai_fn(name = "!=", return_raw)]
    pub(crate) fn is_not_text(
        secret: Secret,
        text: ImmutableString,
    ) -> Result<bool, Box<EvalAltResult>> {
        Ok(!is(&secret, &text)?)
    }

    #[rhai_fn(name = "!=", return_raw)]
    pub(crate) fn text_is_not(
        text: ImmutableString,
        secret: Secret,
    ) -> Result<bool, Box<EvalAltResult>> {
        Ok(!is(&secret, &text)?)
    }

    #[rhai_fn(name = "!=", return_raw)]
    pub(crate) fn are_different(a: Secret, b: Secret) -> Result<bool, Box<EvalAltResult>> {
        Ok(!is(&a, &b.reveal().map_err(misuse)?)?)
    }
}
