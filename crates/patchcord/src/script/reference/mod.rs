//! Script API as text: definitions for editors, and the reference.
//!
//! In: the functions of an engine with their comments, and the host's [`Vocabulary`]. Out: `.d.rhai` text and Markdown.
//! Both are generated from the same comments, including those of an embedder's functions.

mod page;
mod rhai;
mod wrap;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use ::rhai::{Engine, FuncInfo};

pub use self::page::Page;
use self::{rhai::RhaiFunction, wrap::wrapped};
use super::{hook::Hook, vocabulary::Vocabulary};
use crate::diagnostic::type_word;

/// Function of the host or of an embedder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ApiFunction {
    namespace: String,
    /// Name; `get$id` for the getter of the property `id`.
    name: String,
    /// Names and types of the parameters.
    parameters: Vec<(String, String)>,
    /// `true` if it is called on its first parameter.
    is_method: bool,
    gives: String,
    /// Comment, without comment marks.
    doc: String,
}

/// Entry of the reference: the forms of a function, its parameters and result, and its comment.
type Entry = (Vec<String>, String, String);

/// Functions of an engine, except Rhai's built-in ones.
#[derive(Debug)]
pub struct ApiReference {
    words: Vec<ApiFunction>,
    vocabulary: Vocabulary,
}

impl ApiReference {
    /// Collects all functions that are registered in `engine`, except Rhai's built-in ones.
    pub fn new(engine: &Engine, vocabulary: Vocabulary) -> Self {
        let rhai = Engine::new();
        let of_rhai: BTreeSet<_> = rhai
            .collect_fn_metadata(None, |info| Some(info.metadata.name.to_string()), true)
            .into_iter()
            .collect();
        let mut words =
            engine.collect_fn_metadata(None, |info| Some(ApiFunction::new(&info)), false);
        words.sort();
        words.dedup();
        let documented = words.iter().filter(|word| !word.doc.is_empty());
        let documented: BTreeSet<_> = documented.map(|word| word.name.clone()).collect();
        words.retain(|word| {
            // Leaves out forms that exist only to explain an error, and bounded versions of Rhai's built-in functions.
            let bare = word.parameters.iter().any(|(name, _)| name == "_");
            match (word.doc.is_empty(), documented.contains(&word.name)) {
                (false, _) => true,
                (true, true) => !bare,
                (true, false) => !of_rhai.contains(&word.name),
            }
        });
        Self { words, vocabulary }
    }

    /// Returns definitions for the Rhai language server: `.d.rhai`.
    pub fn definitions(&self) -> String {
        let mut text = "module static;\n".to_owned();
        for name in self.vocabulary.globals {
            let type_of = self.type_of_handle(name);
            let _ = write!(text, "\nlet {name}: {type_of};\n");
        }
        let mut modules = BTreeMap::<_, Vec<_>>::new();
        for word in &self.words {
            match word.namespace.as_str() {
                "" => text += &definition(word, ""),
                name => modules.entry(name).or_default().push(word),
            }
        }
        for (name, words) in modules {
            let _ = write!(text, "\nmodule {name} {{");
            words
                .iter()
                .for_each(|word| text += &definition(word, "    "));
            text += "}\n";
        }
        text
    }

    /// Returns all pages in sequence, in Markdown.
    pub fn reference(&self) -> String {
        let pages = Page::ALL.map(|page| {
            let text = self.page(page);
            format!("# {}\n{text}", page.title())
        });
        pages.join("\n")
    }

    /// Returns one page, in Markdown, without its title.
    pub fn page(&self, page: Page) -> String {
        let mut text = String::new();
        if page == Page::Hooks {
            text += "\nThe host calls these functions by name. Define them at the top level of a script.\n";
            for hook in Hook::ALL {
                let _ = write!(
                    text,
                    "\n### `fn {}`\n\n{}\n",
                    hook.signature(),
                    wrapped(hook.doc())
                );
            }
        }
        text += &self.listed(|on| on == page);
        let of_rhai = rhai::on(page);
        if !of_rhai.is_empty() {
            text += "\n## Built into Rhai\n\n| function | description | example | result |\n|---|---|---|---|\n";
        }
        for RhaiFunction([forms, meaning, example, value]) in of_rhai {
            let cell = |code: &str| format!("`{}`", code.replace('|', "\\|"));
            let forms: Vec<_> = forms
                .split("), ")
                .map(|form| match form.ends_with([')', ']']) {
                    true => cell(form),
                    false if form.contains('(') => cell(&format!("{form})")),
                    false => cell(form),
                })
                .collect();
            let (example, value) = (cell(example), cell(value));
            let _ = writeln!(
                text,
                "| {} | {meaning} | {example} | {value} |",
                forms.join(", ")
            );
        }
        text
    }

    /// Returns all functions, in Markdown.
    pub fn all(&self) -> String {
        self.listed(|_| true)
    }

    fn listed(&self, is_wanted: impl Fn(Page) -> bool) -> String {
        let mut text = String::new();
        let sections = self.sections().into_iter();
        for (title, _, words) in sections.filter(|(_, page, _)| is_wanted(*page)) {
            let _ = write!(text, "\n## {title}\n");
            for (forms, takes, doc) in words {
                let _ = write!(text, "\n### {}\n\n{takes}\n\n{doc}\n", forms.join(", "));
            }
        }
        text
    }

    /// Returns the functions that `others` does not have.
    #[must_use]
    pub fn without(mut self, others: &Self) -> Self {
        self.words.retain(|word| !others.words.contains(word));
        self
    }

    /// Returns the functions by receiver, with the page of each receiver. Each entry has the forms of a function, its
    /// parameters and result, and its comment.
    fn sections(&self) -> Vec<(String, Page, Vec<Entry>)> {
        let mut by_doc = BTreeMap::<&str, Vec<&ApiFunction>>::new();
        for word in self.words.iter().filter(|word| !word.doc.is_empty()) {
            by_doc.entry(&word.doc).or_default().push(word);
        }
        let mut sections = BTreeMap::<(usize, String, Page), Vec<Entry>>::new();
        for (doc, words) in by_doc {
            let mut receivers: Vec<_> = words.iter().map(|word| word.receiver()).collect();
            receivers.sort_by_key(|receiver| (self.place(receiver), receiver.clone()));
            receivers.dedup();
            let place = receivers.first().map_or(0, |first| self.place(first));
            let mut forms: Vec<_> = words
                .iter()
                .map(|word| format!("`{}`", self.form(word)))
                .collect();
            forms.sort();
            forms.dedup();
            forms.sort_by_key(|form| {
                self.place(form.trim_matches('`').split('.').next().unwrap_or(""))
            });
            let roots = words.iter().map(|word| match word.namespace.as_str() {
                "" => word.name.as_str(),
                namespace => namespace,
            });
            let page = Page::new(&receivers, roots);
            let title = (place + receivers.len(), title(&receivers), page);
            let takes = words.first().map(|word| word.takes()).unwrap_or_default();
            sections
                .entry(title)
                .or_default()
                .push((forms, takes, doc.to_owned()));
        }
        for words in sections.values_mut() {
            words.sort();
        }
        sections
            .into_iter()
            .map(|((_, title, page), words)| (title, page, words))
            .collect()
    }

    /// Returns the rank of a receiver in the reference: handles come first, in the order of the vocabulary.
    fn place(&self, receiver: &str) -> usize {
        let mut handles = self.vocabulary.handles.iter();
        handles
            .position(|(handle, _)| *handle == receiver)
            .map_or(100, |place| 10 * place)
    }

    /// Formats a function as a script calls it: `socket.emit(event, ...)`.
    fn form(&self, word: &ApiFunction) -> String {
        let names = word.parameters.iter().map(|(name, _)| name.as_str());
        let is_longer = |other: &&ApiFunction| {
            other.name == word.name
                && other.doc.is_empty()
                && other.receiver() == word.receiver()
                && other.parameters.len() > word.parameters.len()
        };
        let more = self
            .words
            .iter()
            .any(|other| is_longer(&other))
            .then_some("...");
        let receiver = word.receiver();
        let arguments: Vec<_> = names
            .skip(usize::from(word.is_method))
            .chain(more)
            .collect();
        let arguments = arguments.join(", ");
        match (word.name.split_once('$'), word.is_method) {
            (Some(("get", property)), _) => format!("{receiver}.{property}"),
            (Some(("index", "set$")), _) => format!("{receiver}[key] = value"),
            (Some(_), _) => format!("{receiver}[{arguments}]"),
            (None, true) => format!("{receiver}.{}({arguments})", word.name),
            (None, false) if word.namespace.is_empty() => format!("{}({arguments})", word.name),
            (None, false) => format!("{}::{}({arguments})", word.namespace, word.name),
        }
    }

    fn type_of_handle(&self, name: &str) -> &str {
        let mut receivers = self.words.iter().filter_map(|word| word.parameters.first());
        receivers
            .find(|(parameter, _)| parameter == name)
            .map_or("?", |(_, type_of)| type_of)
    }
}

impl ApiFunction {
    fn new(info: &FuncInfo<'_>) -> Self {
        let data = info.metadata;
        let mut parameters: Vec<_> = data
            .params_info
            .iter()
            .map(|parameter| {
                let (name, type_of) = parameter.split_once(':').unwrap_or(("_", parameter));
                (name.trim().to_owned(), type_name(type_of))
            })
            .collect();
        let is_method = data
            .params_info
            .first()
            .is_some_and(|first| first.contains(": &mut ") && info.namespace.is_empty());
        parameters.resize(data.num_params, ("_".to_owned(), "?".to_owned()));
        let doc = data.comments.iter().flat_map(|comment| comment.lines());
        let doc: Vec<_> = doc
            .map(|line| {
                let line = line.trim_start().trim_start_matches("///");
                line.strip_prefix(' ').unwrap_or(line)
            })
            .collect();
        Self {
            namespace: info.namespace.to_string(),
            name: data.name.to_string(),
            parameters,
            is_method,
            gives: type_name(&data.return_type),
            doc: wrapped(doc.join("\n").trim()),
        }
    }

    /// Describes the types of the parameters and of the result.
    fn takes(&self) -> String {
        let shown = |type_of: &str| match type_of {
            "?" => "any value".to_owned(),
            "()" => "nothing".to_owned(),
            "Fn" => "closure".to_owned(),
            known => known.to_owned(),
        };
        let parameters = self.parameters.iter().skip(usize::from(self.is_method));
        let parameters = parameters.filter(|(name, _)| name != "_");
        let parameters: Vec<_> = parameters
            .map(|(name, type_of)| format!("`{name}`: {}", shown(type_of)))
            .collect();
        let takes = match parameters.is_empty() {
            true => String::new(),
            false => format!("{}. ", parameters.join(", ")),
        };
        format!("{takes}Returns {}.", shown(&self.gives))
    }

    /// Returns the receiver: the name of the first parameter, or the namespace.
    fn receiver(&self) -> String {
        let first = self.parameters.first().filter(|_| self.is_method);
        first.map_or_else(|| self.namespace.clone(), |(name, _)| name.clone())
    }
}

/// Returns the name of a type in definitions: `Result<a::Socket, Box<..>>` is `Socket`, `&str` is `string`.
fn type_name(name: &str) -> String {
    let name = name
        .trim()
        .trim_start_matches('&')
        .trim_start_matches("mut ")
        .trim();
    let inner = match name.split_once('<') {
        Some((path, inner)) if path.trim().ends_with("Result") => {
            inner.split([',', '>']).next().unwrap_or(inner)
        }
        _ => name,
    };
    match type_word(inner).as_str() {
        "" => "()".to_owned(),
        "Dynamic" => "?".to_owned(),
        "closure" => "Fn".to_owned(),
        word => word.to_owned(),
    }
}

fn title(receivers: &[String]) -> String {
    match receivers {
        [one] if one.is_empty() => "Functions".to_owned(),
        [one] if one.chars().all(char::is_alphanumeric) => format!("`{one}`"),
        many => many
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Formats one definition with its comment.
fn definition(word: &ApiFunction, indent: &str) -> String {
    let mut text = String::from("\n");
    for line in word.doc.lines() {
        let _ = writeln!(text, "{}", format!("{indent}/// {line}").trim_end());
    }
    let parameters = word
        .parameters
        .iter()
        .enumerate()
        .map(|(place, (name, type_of))| match name.as_str() {
            "_" => format!("arg{}: {type_of}", place + 1),
            name => format!("{name}: {type_of}"),
        });
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let name = match word.name.split_once('$') {
        Some(("get", property)) => format!("get {property}"),
        Some(("set", property)) => format!("set {property}"),
        Some(("index", "get$")) => "index get".to_owned(),
        Some(("index", "set$")) => "index set".to_owned(),
        _ => word.name.clone(),
    };
    let _ = writeln!(text, "{indent}fn {name}({parameters}) -> {};", word.gives);
    text
}
