//! Registration of functions that Rhai's macros cannot express: functions on many types, and functions with any number
//! of arguments.

use std::{any::TypeId, sync::Arc};

use rhai::{Dynamic, FnPtr, FuncRegistration, Module, NativeCallContext, RhaiFunc};

use super::Fallible;

/// Starts the registration of a method of the type `T`.
pub(super) fn method<T>(
    name: &str,
    doc: &[&str],
    parameters: &[&str],
    returns: &str,
) -> FuncRegistration {
    function(name, doc, &signature::<T>(parameters, returns)).with_purity(true)
}

/// Starts the registration of a property of the type `T`.
pub(super) fn getter<T>(name: &str, doc: &[&str], returns: &str) -> FuncRegistration {
    FuncRegistration::new_getter(name)
        .in_global_namespace()
        .with_purity(true)
        .with_params_info(signature::<T>(&[], returns))
        .with_comments(doc)
}

/// Starts the registration of a function that Rhai finds by the types of its arguments, even in a module. `signature`
/// lists its parameters and its result; it is empty if these are not shown.
pub(crate) fn function(
    name: &str,
    doc: &[impl AsRef<str>],
    signature: &[impl AsRef<str>],
) -> FuncRegistration {
    FuncRegistration::new(name)
        .in_global_namespace()
        .with_params_info(signature)
        .with_comments(doc)
}

/// Returns the parameters and the result of a method of the type `T`, in the format of definitions and checks.
pub(crate) fn signature<T>(parameters: &[&str], returns: &str) -> Vec<String> {
    let path = std::any::type_name::<T>();
    let name = path.rsplit("::").next().unwrap_or(path);
    let receiver = format!("{}: &mut {name}", name.to_lowercase());
    let parameters = parameters.iter().map(|parameter| (*parameter).to_owned());
    std::iter::once(receiver)
        .chain(parameters)
        .chain([returns.to_owned()])
        .collect()
}

/// Completes the registration of a function that reads its arguments itself. The function is registered as pure,
/// because handles are read-only, and Rhai calls only pure methods on read-only values.
pub(crate) fn set_raw(
    function: FuncRegistration,
    module: &mut Module,
    types: impl AsRef<[TypeId]>,
    call: impl Fn(Option<NativeCallContext<'_>>, &mut [&mut Dynamic]) -> Fallible<Dynamic>
    + Send
    + Sync
    + 'static,
) {
    function.set_into_module_raw(
        module,
        types,
        RhaiFunc::Method {
            func: Arc::new(call),
            has_context: true,
            is_pure: true,
            is_volatile: true,
        },
    );
}

/// Returns a closure that scripts call with any number of arguments.
#[allow(
    deprecated,
    reason = "`from_dyn_fn` is marked volatile, not deprecated, and there is no other way"
)]
pub(super) fn closure(
    name: &str,
    call: impl Fn(&mut [&mut Dynamic]) -> Fallible<Dynamic> + Send + Sync + 'static,
) -> Dynamic {
    let call = move |_: NativeCallContext<'_>, args: &mut [&mut Dynamic]| call(args);
    FnPtr::from_dyn_fn(name, Box::new(call)).map_or(Dynamic::UNIT, Dynamic::from)
}
