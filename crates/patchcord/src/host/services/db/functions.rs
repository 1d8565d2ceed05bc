//! Functions of scripts: the module `db`, and the methods of a named database.

use std::{
    any::{TypeId, type_name},
    sync::Arc,
};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, ImmutableString};

use super::{
    databases::Databases,
    docs,
    failure::Failure,
    statement::{Job, Statement, Wanted},
};
use crate::{
    diagnostic::Diagnostic,
    host::functions::{
        Functions, Signature,
        async_fn::{Answer, AsyncContext, Type},
    },
    script::{ArgumentCheck, EngineBuilder, misuse},
    value::register_type,
};

/// Name of the database of `db::query` and the like.
const MAIN: &str = "main";
/// Database that a script has named.
#[derive(Debug, Clone)]
struct NamedDatabase(Arc<str>);

/// Function of scripts that runs statements.
#[derive(Clone, Copy)]
struct Function {
    /// Name, as counters, events and errors show it.
    full_name: &'static str,
    doc: &'static str,
    /// Result of its only statement; `None` for a transaction, which has several.
    wanted: Option<Wanted>,
}

const FUNCTIONS: [Function; 3] = [
    Function {
        full_name: "db::query",
        doc: docs::QUERY,
        wanted: Some(Wanted::Rows),
    },
    Function {
        full_name: "db::execute",
        doc: docs::EXECUTE,
        wanted: Some(Wanted::Count),
    },
    Function {
        full_name: "db::transaction",
        doc: docs::TRANSACTION,
        wanted: None,
    },
];

impl Function {
    fn name(&self) -> &'static str {
        let name = self.full_name.strip_prefix("db::");
        name.unwrap_or(self.full_name)
    }

    /// Adds the forms of the function, which is called on a named database or in the module.
    fn add(self, databases: &Arc<Databases>, functions: Functions, is_method: bool) -> Functions {
        let first = (is_method, "database", type_of::<NamedDatabase>());
        let sql = (true, "sql", type_of::<ImmutableString>());
        let list = |name, is_there| (is_there, name, type_of::<Array>());
        let forms = match self.wanted {
            Some(_) => vec![
                [first, sql, list("parameters", false)],
                [first, sql, list("parameters", true)],
            ],
            None => vec![[first, list("statements", true), list("", false)]],
        };
        forms.into_iter().fold(functions, |functions, form| {
            let form = form.into_iter().filter(|(is_there, ..)| *is_there);
            let (names, mut types): (Vec<_>, Vec<_>) = form.map(|(_, name, of)| (name, of)).unzip();
            types.push(type_of::<FnPtr>());
            let signature = format!("{}({})", self.name(), names.join(", "));
            let databases = databases.clone();
            functions.service(
                self.full_name,
                Signature::new(&signature).doc(self.doc),
                &types,
                move |context, args| self.begin(&databases, context, (is_method, args)),
            )
        })
    }

    /// Begins a call.
    ///
    /// # Errors
    /// Fails if scripts may not use the database.
    fn begin(
        self,
        databases: &Arc<Databases>,
        context: AsyncContext,
        (is_method, args): (bool, Vec<Dynamic>),
    ) -> Result<Answer, String> {
        let mut args = args.into_iter();
        let named = is_method.then(|| args.next()).flatten();
        let named = named.and_then(Dynamic::try_cast::<NamedDatabase>);
        let name = named.map_or_else(|| MAIN.into(), |named| named.0);
        databases.get(&name)?;
        context.wait_in_tests();
        let job = self.job(args);
        let databases = databases.clone();
        Ok(Box::pin(async move {
            let outcomes = databases.run(&context, self.full_name, &name, job).await?;
            Ok(match self.wanted {
                Some(_) => outcomes.into_iter().next().unwrap_or_default(),
                None => Dynamic::from_array(outcomes),
            })
        }))
    }

    fn job(self, mut args: std::vec::IntoIter<Dynamic>) -> Result<Job, Failure> {
        let mut next = || args.next().unwrap_or_default();
        match self.wanted {
            Some(wanted) => {
                let sql = next().into_immutable_string().unwrap_or_default();
                let parameters = next().try_cast::<Array>().unwrap_or_default();
                Statement::new(sql, &parameters, wanted).map(Job::single)
            }
            None => Job::transaction(&next().try_cast::<Array>().unwrap_or_default()),
        }
    }
}

fn type_of<T: 'static>() -> Type {
    (TypeId::of::<T>(), type_name::<T>())
}

/// Adds `db` to an engine.
pub(in crate::host::services) fn register(
    databases: &Arc<Databases>,
    engine: EngineBuilder,
) -> EngineBuilder {
    let add = |is_method| {
        FUNCTIONS
            .iter()
            .fold(Functions::new(), |functions, function| {
                function.add(databases, functions, is_method)
            })
    };
    let of = databases.clone();
    let named = move |name: ImmutableString| -> Result<NamedDatabase, Box<EvalAltResult>> {
        of.get(&name).map_err(misuse)?;
        Ok(NamedDatabase(name.as_str().into()))
    };
    let module = add(false).function(Signature::new("named(name)").doc(docs::NAMED), named);
    let mut methods = add(true).into_module();
    register_type::<NamedDatabase>(&mut methods, "Database", |database| {
        Some(database.0.to_string().into())
    });
    let engine = engine.functions(methods).module("db", module.into_module());
    let engine = FUNCTIONS.iter().fold(engine, |engine, function| {
        engine.argument_check(function.full_name, check(databases, |_| Some(MAIN)))
    });
    engine.argument_check("db::named", check(databases, |name| name))
}

/// Returns the check of calls: a database that is not allowed is a warning.
fn check(databases: &Arc<Databases>, name: fn(Option<&str>) -> Option<&str>) -> ArgumentCheck {
    let databases = databases.clone();
    ArgumentCheck::new(move |argument| {
        let name = name(argument).filter(|name| !databases.allows(name))?;
        let warning = Diagnostic::warning(format!("scripts may not use the database `{name}`"));
        Some(warning.hint(format!("`--allow-db {name}` allows it")))
    })
}
