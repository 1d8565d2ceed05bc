//! Symbols that scripts can use, according to the engine: functions of the host, of the embedder, and of Rhai.
//!
//! In: an engine with everything registered. Out: [`SymbolTable`], which answers questions about a script before it
//! runs: whether a function exists, with this number of arguments, on this type of value, and which name is most
//! similar.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use rhai::{Array, Blob, Dynamic, Engine, FLOAT, FnPtr, FuncInfo, INT, ImmutableString, Map};

use super::vocabulary::{Callback, Vocabulary};
use crate::diagnostic::Diagnostic;

/// Words that Rhai's evaluator knows, although there is no function of that name.
const KEYWORDS: [&str; 9] = [
    "Fn",
    "call",
    "curry",
    "eval",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "type_of",
    "this",
];

/// Functions of an engine.
#[derive(Debug, Default)]
pub struct SymbolTable {
    pub(super) vocabulary: Vocabulary,
    /// Functions by namespace (`""` is the global namespace) and name.
    functions: BTreeMap<String, BTreeMap<String, Vec<Signature>>>,
    /// Types whose functions are all known, because they are not built-in types of Rhai.
    closed: BTreeSet<TypeId>,
    /// Checks of calls, by the name of the function, with its namespace.
    argument_checks: BTreeMap<String, ArgumentCheck>,
    /// Checks of the second argument, if it is a literal string.
    second_argument_checks: BTreeMap<String, ArgumentCheck>,
}

/// Check of a call before the script runs, by its first argument.
#[derive(Clone)]
pub struct ArgumentCheck(Arc<ProblemOf>);

type ProblemOf = dyn Fn(Option<&str>) -> Option<Diagnostic> + Send + Sync;

impl ArgumentCheck {
    /// Creates a check. `problem` receives the first argument if it is a literal string, or the part before the first
    /// `${` of an interpolated string.
    pub fn new(
        problem: impl Fn(Option<&str>) -> Option<Diagnostic> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(problem))
    }
}

impl fmt::Debug for ArgumentCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgumentCheck").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    types: Vec<TypeId>,
    /// Type of the returned value, if it is known.
    returns: Option<TypeId>,
}

impl Signature {
    /// Returns the number of parameters, including the receiver.
    pub(super) fn count(&self) -> usize {
        self.types.len()
    }

    /// Returns the types of the parameters, including the receiver.
    pub(super) fn types(&self) -> &[TypeId] {
        &self.types
    }

    /// Returns the type of the returned value, if it is known.
    pub(super) fn returns(&self) -> Option<TypeId> {
        self.returns
    }

    fn is_on(&self, receiver: TypeId) -> bool {
        self.types
            .first()
            .is_some_and(|first| *first == receiver || *first == TypeId::of::<Dynamic>())
    }
}

/// Metadata of a function, before the names of types are resolved.
struct Raw {
    namespaces: Vec<String>,
    name: String,
    types: Vec<TypeId>,
    names: Vec<String>,
    returns: String,
}

impl SymbolTable {
    /// Collects all functions of `engine`.
    pub fn new(engine: &Engine, vocabulary: Vocabulary) -> Self {
        let raw = engine.collect_fn_metadata(None, |info| Some(raw(&info)), true);
        let mut types = names_of_types(&raw);
        for (name, id) in vocabulary.types {
            name_type(&mut types, name, id());
        }
        let mut known = Self {
            vocabulary,
            ..Self::default()
        };
        for Raw {
            namespaces,
            name,
            types: parameters,
            returns,
            ..
        } in raw
        {
            known
                .closed
                .extend(parameters.iter().filter(|id| !is_of_rhai(**id)));
            let returns = types.get(bare(&returns)).copied().flatten();
            let returns = returns.filter(|id| *id != TypeId::of::<Dynamic>());
            for namespace in namespaces {
                let named = known.functions.entry(namespace).or_default();
                named.entry(name.clone()).or_default().push(Signature {
                    types: parameters.clone(),
                    returns,
                });
            }
        }
        known
    }

    /// Adds a check of the calls of a function, such as `re` or `http::get`.
    pub(super) fn check_argument(&mut self, function: &str, check: ArgumentCheck) {
        self.argument_checks.insert(function.to_owned(), check);
    }

    /// Returns the problem of a call with this first argument.
    pub(super) fn argument_problem(
        &self,
        function: &str,
        argument: Option<&str>,
    ) -> Option<Diagnostic> {
        let ArgumentCheck(problem) = self.argument_checks.get(function)?;
        problem(argument)
    }

    /// Adds a check of the calls of a function by their second argument.
    pub(super) fn check_second_argument(&mut self, function: &str, check: ArgumentCheck) {
        self.second_argument_checks
            .insert(function.to_owned(), check);
    }

    /// Returns the problem of a call with this second argument.
    pub(super) fn second_argument_problem(
        &self,
        function: &str,
        argument: &str,
    ) -> Option<Diagnostic> {
        let ArgumentCheck(problem) = self.second_argument_checks.get(function)?;
        problem(Some(argument))
    }

    /// Returns the type of the handle with this name.
    pub(super) fn handle(&self, name: &str) -> Option<TypeId> {
        let mut handles = self.vocabulary.handles.iter();
        handles
            .find(|(handle, _)| *handle == name)
            .map(|(_, id)| id())
    }

    pub(super) fn is_global(&self, name: &str) -> bool {
        self.vocabulary.globals.contains(&name)
    }

    /// Returns the number of arguments before the data that a function sends; `None` if it sends nothing.
    pub(super) fn sends(&self, word: &str) -> Option<usize> {
        let mut sends = self.vocabulary.sends.iter();
        sends
            .find(|(name, _)| *name == word)
            .map(|(_, before)| *before)
    }

    /// Returns `true` if a type belongs to the host, and not to an embedder.
    pub(super) fn is_of_host(&self, id: TypeId) -> bool {
        let Vocabulary { handles, types, .. } = &self.vocabulary;
        !is_closure(id) && handles.iter().chain(*types).any(|(_, own)| own() == id)
    }

    /// Returns the keys of the map in a property of this handle, if the keys are fixed.
    pub(super) fn keys(&self, receiver: TypeId, property: &str) -> Option<&'static [&'static str]> {
        let mut maps = self.vocabulary.maps.iter();
        maps.find(|(handle, name, _)| *name == property && self.handle(handle) == Some(receiver))
            .map(|(.., keys)| *keys)
    }

    /// Returns the type of the elements in a `for` loop over this type.
    pub(super) fn element(&self, of: TypeId) -> Option<TypeId> {
        let mut elements = self.vocabulary.elements.iter();
        elements.find(|(list, _)| list() == of).map(|(_, id)| id())
    }

    pub(super) fn callback(
        &self,
        receiver: Option<TypeId>,
        word: &str,
        argument: Option<&str>,
    ) -> Option<&Callback> {
        self.vocabulary.callbacks.iter().find(|callback| {
            callback.word == word
                && callback
                    .argument
                    .is_none_or(|wanted| argument == Some(wanted))
                && callback
                    .on
                    .is_none_or(|handle| self.handle(handle) == receiver)
        })
    }

    /// Returns `true` if a function keeps the closure that it receives, and something else calls the closure later.
    pub(super) fn registers(&self, word: &str) -> bool {
        let mut callbacks = self.vocabulary.callbacks.iter();
        let mut sends = self.vocabulary.sends.iter();
        callbacks.any(|callback| callback.word == word && !callback.at_once)
            || sends.any(|(sends, _)| *sends == word)
    }

    /// Returns `true` if all functions of this type are known.
    pub(super) fn is_closed(&self, id: TypeId) -> bool {
        self.closed.contains(&id)
    }

    pub(super) fn is_keyword(name: &str) -> bool {
        KEYWORDS.contains(&name)
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        !name.is_empty() && self.functions.contains_key(name)
    }

    /// Returns the functions of a name in a namespace.
    pub(super) fn named(&self, namespace: &str, name: &str) -> &[Signature] {
        self.functions
            .get(namespace)
            .and_then(|named| named.get(name))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the functions of a name that can be called on a type.
    pub(super) fn methods<'a>(
        &'a self,
        receiver: TypeId,
        name: &str,
    ) -> impl Iterator<Item = &'a Signature> + use<'a> {
        let named = self.named("", name);
        named
            .iter()
            .filter(move |signature| signature.is_on(receiver))
    }

    /// Returns the type that a method returns, if all applicable functions agree.
    pub(super) fn returns(&self, receiver: TypeId, name: &str, count: usize) -> Option<TypeId> {
        let mut fitting = self
            .methods(receiver, name)
            .filter(|signature| signature.count() == count);
        let first = fitting.next()?.returns;
        fitting
            .all(|other| other.returns == first)
            .then_some(first)?
    }

    /// Returns `true` if every name is a valid key of this type.
    pub(super) fn is_open(&self, receiver: TypeId) -> bool {
        self.methods(receiver, "index$get$").any(|signature| {
            signature
                .types
                .get(1)
                .is_some_and(|key| *key == TypeId::of::<ImmutableString>())
        })
    }

    /// Returns `true` if every function of this name belongs to a type that is not built into Rhai.
    pub(super) fn is_method_only(&self, name: &str) -> bool {
        let named = self.named("", name);
        !named.is_empty()
            && named.iter().all(|signature| {
                let first = signature.types.first();
                first.is_some_and(|first| self.is_closed(*first) && !is_closure(*first))
            })
    }

    /// Returns the handles that have a function of this name.
    pub(super) fn owners(&self, name: &str) -> Vec<&'static str> {
        let handles = self.vocabulary.handles.iter();
        handles
            .filter(|(_, id)| {
                let id = id();
                let mut named = self.named("", name).iter();
                !is_closure(id) && named.any(|signature| signature.types.first() == Some(&id))
            })
            .map(|(handle, _)| *handle)
            .collect()
    }

    /// Returns the names of functions in a namespace that a script can write.
    pub(super) fn names<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let named = self.functions.get(namespace).into_iter().flatten();
        named
            .map(|(name, _)| name.as_str())
            .filter(|name| rhai::is_valid_function_name(name))
    }

    /// Returns the namespaces that are not imports.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.functions
            .keys()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Returns the members of a type: functions (`Member::Function`) and properties.
    pub(super) fn members(&self, receiver: TypeId) -> Vec<Member<'_>> {
        let all = self.functions.get("").into_iter().flatten();
        all.filter(|(_, signatures)| {
            signatures
                .iter()
                .any(|signature| signature.types.first() == Some(&receiver))
        })
        .filter_map(|(name, _)| match name.split_once('$') {
            Some(("get", property)) => Some(Member::Property(property)),
            Some(_) => None,
            None => rhai::is_valid_function_name(name).then_some(Member::Function(name)),
        })
        .collect()
    }
}

/// Member of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member<'a> {
    Function(&'a str),
    Property(&'a str),
}

impl<'a> Member<'a> {
    pub(super) const fn name(self) -> &'a str {
        match self {
            Self::Function(name) | Self::Property(name) => name,
        }
    }
}

/// Maximum length of a short name, in letters. A short name may come from another language: `env` is not a misspelled
/// `end`, and `hash` is not a misspelled `has`.
const SHORT: usize = 4;

/// Returns the name that is most similar to a wrong name, if any is similar. If the wrong name is short, it must lack
/// one letter, have two letters swapped, or be a plural.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let (wanted, count) = (plain(wrong), wrong.chars().count());
    let letters = |word: &str| {
        let mut letters: Vec<_> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    let is_typo = |name: &str| match count {
        0..=SHORT => {
            name.chars().count() > count
                || letters(name) == letters(&wanted)
                || wanted.strip_suffix('s') == Some(name)
        }
        _ => true,
    };
    let distances = names.into_iter().filter_map(|name| {
        let plain = plain(name);
        let distance = strsim::damerau_levenshtein(&wanted, &plain);
        is_typo(&plain).then_some((distance, name))
    });
    let most = (count / 3).clamp(1, 3);
    distances
        .filter(|(distance, name)| *distance <= most && *name != wrong)
        .min()
        .map(|(_, name)| name)
}

fn raw(info: &FuncInfo<'_>) -> Raw {
    let data = info.metadata;
    let mut namespaces = vec![info.namespace.to_string()];
    if !info.namespace.is_empty() && data.namespace.is_global_namespace() {
        namespaces.push(String::new());
    }
    Raw {
        namespaces,
        name: data.name.to_string(),
        types: data.param_types.to_vec(),
        names: data.params_info.iter().map(ToString::to_string).collect(),
        returns: data.return_type.to_string(),
    }
}

/// Returns the types by their names in signatures; `None` if two types have the same name.
fn names_of_types(functions: &[Raw]) -> HashMap<String, Option<TypeId>> {
    let mut types = HashMap::new();
    for function in functions {
        for (parameter, id) in function.names.iter().zip(&function.types) {
            let Some((_, name)) = parameter.split_once(':') else {
                continue;
            };
            name_type(&mut types, bare(name), *id);
        }
    }
    types
}

fn name_type(types: &mut HashMap<String, Option<TypeId>>, name: &str, id: TypeId) {
    let known = types.entry(name.to_owned()).or_insert(Some(id));
    if *known != Some(id) {
        *known = None;
    }
}

/// Returns the plain name of a type: `SharedMap` for both `Result<a::SharedMap, Box<..>>` and `&mut SharedMap`.
fn bare(name: &str) -> &str {
    let name = name.trim().trim_start_matches('&').trim_start();
    let name = name.strip_prefix("mut ").unwrap_or(name).trim();
    let path = |name: &str| {
        name.split('<')
            .next()
            .is_some_and(|p| p.trim().ends_with("Result"))
    };
    let inner = match name.split_once('<') {
        Some((_, inner)) if path(name) => inner.split([',', '>']).next().unwrap_or(inner),
        _ => name,
    };
    // The path ends before the parameters of a generic type, which have paths of their own.
    let head = inner.split('<').next().unwrap_or(inner);
    let start = head.rfind("::").map_or(0, |at| at + 2);
    inner.get(start..).unwrap_or(inner).trim()
}

pub(super) fn is_closure(id: TypeId) -> bool {
    id == TypeId::of::<FnPtr>()
}

/// Returns `true` for built-in types of Rhai whose values have no keys. A member of such a value exists only if the
/// script itself defines it, or if there is a function for it.
pub(super) fn is_plain(id: TypeId) -> bool {
    [
        TypeId::of::<bool>(),
        TypeId::of::<INT>(),
        TypeId::of::<FLOAT>(),
        TypeId::of::<ImmutableString>(),
        TypeId::of::<Array>(),
    ]
    .contains(&id)
}

/// Returns `true` for built-in types of Rhai. Scripts can add functions to them, and Rhai itself has operations on them
/// that are in no list.
fn is_of_rhai(id: TypeId) -> bool {
    [
        TypeId::of::<Dynamic>(),
        TypeId::of::<()>(),
        TypeId::of::<bool>(),
        TypeId::of::<char>(),
        TypeId::of::<INT>(),
        TypeId::of::<FLOAT>(),
        TypeId::of::<ImmutableString>(),
        TypeId::of::<String>(),
        TypeId::of::<&str>(),
        TypeId::of::<Array>(),
        TypeId::of::<Blob>(),
        TypeId::of::<Map>(),
        TypeId::of::<std::ops::Range<INT>>(),
        TypeId::of::<std::ops::RangeInclusive<INT>>(),
    ]
    .contains(&id)
}
