//! Functions of scripts: the module `db`, and the methods of a named database.

use std::sync::Arc;

use rhai::{Array, Dynamic, EvalAltResult, ImmutableString};

use super::{
    databases::Databases,
    docs,
    failure::Failure,
    statement::{Job, Statement, Wanted},
};
use crate::{
    diagnostic::Diagnostic,
    host::functions::{Functions, Signature, async_fn::AsyncContext},
    script::{ArgumentCheck, EngineBuilder},
};

/// Name of the database of `db::query` and the like.
const MAIN: &str = "main";
/// Database that a script has named.
#[derive(Debug, Clone)]
struct NamedDatabase(Arc<str>);

/// Kinds of calls, with the names that counters and events have for them.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Query,
    Execute,
}

impl Kind {
    const fn service(self) -> &'static str {
        match self {
            Self::Query => "db::query",
            Self::Execute => "db::execute",
        }
    }

    const fn wanted(self) -> Wanted {
        match self {
            Self::Query => Wanted::Rows,
            Self::Execute => Wanted::Count,
        }
    }
}

/// Runs one statement.
async fn single(
    databases: Arc<Databases>,
    context: AsyncContext,
    kind: Kind,
    name: &str,
    statement: Result<Statement, Failure>,
) -> Result<Dynamic, String> {
    let job = statement.map(Job::single);
    let outcomes = databases.run(&context, kind.service(), name, job).await?;
    Ok(outcomes.into_iter().next().unwrap_or_default())
}

/// Runs a transaction.
async fn transaction(
    databases: Arc<Databases>,
    context: AsyncContext,
    name: &str,
    job: Result<Job, Failure>,
) -> Result<Dynamic, String> {
    let run = databases.run(&context, "db::transaction", name, job);
    run.await.map(Dynamic::from_array)
}

/// Adds `query` or `execute`, in the module and on a named database, with and without parameters.
fn add_single(
    databases: &Arc<Databases>,
    (module, methods): (Functions, Functions),
    (name, kind, doc): (&str, Kind, &str),
) -> (Functions, Functions) {
    let signature = |parameters: &str| Signature::new(&format!("{name}({parameters})")).doc(doc);
    let statement = move |sql: ImmutableString, parameters: Array| {
        Statement::new(sql, &parameters, kind.wanted())
    };
    let of = databases.clone();
    let module = module.async_function(
        signature("sql"),
        move |context: AsyncContext, sql: ImmutableString| {
            let (databases, statement) = (of.clone(), statement(sql, Array::new()));
            async move { single(databases, context, kind, MAIN, statement).await }
        },
    );
    let of = databases.clone();
    let module = module.async_function(
        signature("sql, parameters"),
        move |context: AsyncContext, sql: ImmutableString, parameters: Array| {
            let (databases, statement) = (of.clone(), statement(sql, parameters));
            async move { single(databases, context, kind, MAIN, statement).await }
        },
    );
    let of = databases.clone();
    let methods = methods.async_function(
        signature("database, sql"),
        move |context: AsyncContext, database: NamedDatabase, sql: ImmutableString| {
            let (databases, statement) = (of.clone(), statement(sql, Array::new()));
            async move { single(databases, context, kind, &database.0, statement).await }
        },
    );
    let of = databases.clone();
    let methods = methods.async_function(
        signature("database, sql, parameters"),
        move |context: AsyncContext,
              database: NamedDatabase,
              sql: ImmutableString,
              parameters: Array| {
            let (databases, statement) = (of.clone(), statement(sql, parameters));
            async move { single(databases, context, kind, &database.0, statement).await }
        },
    );
    (module, methods)
}

/// Adds `db` to an engine.
pub(in crate::host::services) fn register(
    databases: &Arc<Databases>,
    engine: EngineBuilder,
) -> EngineBuilder {
    let functions = (Functions::new(), Functions::new());
    let functions = add_single(databases, functions, ("query", Kind::Query, docs::QUERY));
    let (module, methods) = add_single(
        databases,
        functions,
        ("execute", Kind::Execute, docs::EXECUTE),
    );
    let signature = |text: &str| Signature::new(text).doc(docs::TRANSACTION);
    let of = databases.clone();
    let module = module.async_function(
        signature("transaction(statements)"),
        move |context: AsyncContext, statements: Array| {
            let (databases, job) = (of.clone(), Job::transaction(&statements));
            async move { transaction(databases, context, MAIN, job).await }
        },
    );
    let of = databases.clone();
    let methods = methods.async_function(
        signature("transaction(database, statements)"),
        move |context: AsyncContext, database: NamedDatabase, statements: Array| {
            let (databases, job) = (of.clone(), Job::transaction(&statements));
            async move { transaction(databases, context, &database.0, job).await }
        },
    );
    let of = databases.clone();
    let named = move |name: ImmutableString| -> Result<NamedDatabase, Box<EvalAltResult>> {
        of.get(&name)?;
        Ok(NamedDatabase(name.as_str().into()))
    };
    let module = module.function(Signature::new("named(name)").doc(docs::NAMED), named);
    let mut methods = methods.into_module();
    methods.set_custom_type::<NamedDatabase>("Database");
    let engine = engine.functions(methods).module("db", module.into_module());
    let engine = ["db::query", "db::execute", "db::transaction"]
        .into_iter()
        .fold(engine, |engine, function| {
            engine.argument_check(function, check(databases, |_| Some(MAIN)))
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
