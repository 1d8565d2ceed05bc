//! Rules of the code that the compiler does not check: which module may import which, and which file contains the code
//! of a type.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::visit::{self, Visit};

/// Modules in order: a module imports only from modules before it.
const ROW: [&str; 10] = [
    "diagnostic",
    "value",
    "watch",
    "script",
    "event",
    "connection",
    "api",
    "host",
    "server",
    "testing",
];

/// Modules of `host/`, with the same rule. `mod` is `Host` itself, and `live` and `steer` have further methods of it.
const HOST: [&str; 23] = [
    "bucket",
    "address",
    "allowed_host",
    "origin",
    "options",
    "announce",
    "store",
    "functions",
    "services",
    "lifecycle",
    "scripting",
    "namespaces",
    "transport",
    "dispatch",
    "reload",
    "socketio",
    "state",
    "mod",
    "close",
    "live",
    "steer",
    "handle",
    "builder",
];

/// Files that import each other, with the reason.
const KNOW_EACH_OTHER: [(&str, &str); 1] = [
    // A namespace has connections, and a connection is in a namespace.
    ("connection/connection.rs", "connection/namespace.rs"),
];

/// One file of the library, without its tests.
struct Source {
    /// Path below its `src/`.
    name: String,
    /// Path of its module, from the root of patchcord.
    module: Vec<String>,
    code: syn::File,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    read(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/patchcord/src")),
        &mut found,
    );
    assert!(found.len() > 100, "the sources are no longer found");
    found
}

fn read(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/crates/patchcord/src"))
            .unwrap();
        let name = name.to_str().unwrap().to_owned();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                read(&path, found);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let mut code = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            code.items.retain(|item| !is_for_tests(item));
            let module = name.trim_end_matches(".rs").split('/').map(str::to_owned);
            let faces = ["mod", "lib"];
            found.push(Source {
                module: module.filter(|part| !faces.contains(&&**part)).collect(),
                name,
                code,
            });
        }
    }
}

fn is_for_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

/// References of a file to other files.
#[derive(Default)]
struct Named {
    /// Paths that it imports or writes out, as they are written.
    paths: Vec<Vec<String>>,
    /// Paths that it re-exports, by their new names.
    gives_on: BTreeMap<String, Vec<String>>,
}

impl Named {
    fn of(source: &Source) -> Self {
        let mut named = Self::default();
        named.visit_file(&source.code);
        named
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &[String], is_public: bool) {
        let path = |last: &syn::Ident| [before, &[last.to_string()]].concat();
        match tree {
            syn::UseTree::Path(tree) => self.tree(&tree.tree, &path(&tree.ident), is_public),
            syn::UseTree::Group(group) => {
                let trees = group.items.iter();
                trees.for_each(|tree| self.tree(tree, before, is_public));
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.paths.push(before.to_vec()),
            syn::UseTree::Name(name) if is_public => {
                self.gives_on
                    .insert(name.ident.to_string(), path(&name.ident));
            }
            syn::UseTree::Name(name) => self.paths.push(path(&name.ident)),
            syn::UseTree::Rename(name) if is_public => {
                let given = name.rename.to_string();
                self.gives_on.insert(given, path(&name.ident));
            }
            syn::UseTree::Rename(name) => self.paths.push(path(&name.ident)),
            syn::UseTree::Glob(_) => self.paths.push(before.to_vec()),
        }
    }
}

impl Visit<'_> for Named {
    /// Skips visibilities, because they import nothing.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}

    /// Treats a module within the file as part of it: names that the module takes from its parents are the file's own.
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        let mut inside = Self::default();
        visit::visit_item_mod(&mut inside, item);
        let outside = |path: &mut Vec<String>| {
            let is_above = path[0] == "super";
            if is_above {
                path.remove(0);
            }
            !is_above || path[0] == "super"
        };
        inside.paths.retain_mut(outside);
        self.paths.append(&mut inside.paths);
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&item.tree, &[], is_public);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments = path.segments.iter().map(|part| part.ident.to_string());
        let segments: Vec<_> = segments.collect();
        if ["crate", "self", "super"].contains(&&*segments[0]) && segments.len() > 1 {
            self.paths.push(segments);
        }
        visit::visit_path(self, path);
    }
}

/// All files, with their references to other files.
struct House {
    files: BTreeMap<Vec<String>, (Source, Named)>,
}

impl House {
    fn new() -> Self {
        let named = sources().into_iter().map(|source| {
            let named = Named::of(&source);
            (source.module.clone(), (source, named))
        });
        Self {
            files: named.collect(),
        }
    }

    /// Returns a path from the root of patchcord, if it is a path of patchcord.
    fn absolute(&self, from: &Source, path: &[String]) -> Option<Vec<String>> {
        let mut here = from.module.clone();
        match path.first().map(String::as_str)? {
            "crate" => Some(path[1..].to_vec()),
            "self" | "super" => {
                let up = path
                    .iter()
                    .take_while(|part| ["self", "super"].contains(&&***part));
                let count = up.clone().count();
                let up = up.filter(|part| *part == "super").count();
                here.truncate(here.len() - up);
                Some([&here, &path[count..]].concat())
            }
            child => {
                here.push(child.to_owned());
                let is_ours = self.files.contains_key(&here);
                is_ours.then(|| [&from.module, path].concat())
            }
        }
    }

    /// Returns the file that defines what a path names, even if another file re-exports it.
    fn file_of(&self, path: &[String]) -> Option<&Source> {
        let modules = (0..=path.len()).rev();
        let mut found = modules.filter_map(|count| self.files.get_key_value(&path[..count]));
        let (module, (source, named)) = found.next()?;
        let given = path
            .get(module.len())
            .and_then(|name| named.gives_on.get(name));
        let given = given.and_then(|given| self.absolute(source, given));
        match given {
            Some(given) if given != path => self.file_of(&given),
            _ => Some(source),
        }
    }

    /// Returns the files whose code a file names.
    fn imports(&self, source: &Source, named: &Named) -> BTreeSet<&str> {
        let paths = named.paths.iter();
        let paths = paths.filter_map(|path| self.absolute(source, path));
        let files = paths.filter_map(|path| self.file_of(&path));
        files
            .map(|file| &*file.name)
            .filter(|name| *name != source.name)
            .collect()
    }

    fn all_imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let files = self.files.values();
        files
            .map(|(source, named)| (&*source.name, self.imports(source, named)))
            .collect()
    }
}

/// Returns the position of a file's module in a row: `host/` and `watch.rs` are `host` and `watch`.
fn place(row: &[&str], file: &str) -> Option<usize> {
    let module = file.split(['/', '.']).next().unwrap();
    row.iter().position(|other| *other == module)
}

#[test]
fn modules_import_only_from_those_before_them() {
    let house = House::new();
    let mut seen = 0;
    for (file, imports) in house.all_imports() {
        let Some(at) = place(&ROW, file) else {
            continue;
        };
        for import in imports {
            let Some(other) = place(&ROW, import) else {
                continue;
            };
            assert!(
                other <= at,
                "src/{file} imports src/{import}, which comes later in the row"
            );
            assert!(
                at >= 3 || other == at,
                "src/{file} imports src/{import}, but the first three stand alone"
            );
            seen += 1;
        }
    }
    assert!(seen > 300, "the imports are no longer found: {seen}");
}

#[test]
fn modules_of_the_host_import_only_from_those_before_them() {
    let house = House::new();
    let mut seen = 0;
    for (file, imports) in house.all_imports() {
        let Some(inside) = file.strip_prefix("host/") else {
            continue;
        };
        let at = place(&HOST, inside).unwrap_or_else(|| panic!("src/{file} is in no row"));
        for import in imports.iter().filter_map(|name| name.strip_prefix("host/")) {
            let other = place(&HOST, import);
            assert!(
                other.is_some_and(|other| other <= at),
                "src/{file} imports src/host/{import}, which comes later in the row"
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "the imports are no longer found: {seen}");
}

#[test]
fn no_files_import_each_other() {
    let house = House::new();
    let mut imports = house.all_imports();
    for (one, other) in KNOW_EACH_OTHER {
        for (from, to) in [(one, other), (other, one)] {
            let is_there = imports.get_mut(from).unwrap().remove(to);
            assert!(is_there, "src/{from} no longer imports src/{to}");
        }
    }
    // A file that imports no remaining file, or that no remaining file imports, is in no cycle.
    loop {
        let imported: BTreeSet<_> = imports.values().flatten().copied().collect();
        let mut files = imports.iter();
        let free = files.find(|(file, others)| others.is_empty() || !imported.contains(*file));
        let Some(free) = free.map(|(file, _)| *file) else {
            break;
        };
        imports.remove(free);
        for others in imports.values_mut() {
            others.remove(free);
        }
    }
    assert!(
        imports.is_empty(),
        "these files import each other, or lie between such: {imports:#?}"
    );
}

#[test]
fn only_the_host_knows_the_socketio_crate_and_the_server_knows_no_rhai() {
    let knows = |named: &Named, library: &str| {
        let first = named
            .paths
            .iter()
            .chain(named.gives_on.values())
            .map(|path| &path[0]);
        first.into_iter().any(|name| name == library)
    };
    for (source, named) in House::new().files.values() {
        let name = &source.name;
        let mut folders = [
            "host/socketio/",
            "host/transport/",
            "host/options/",
            "lib.rs",
        ]
        .iter();
        let is_on_the_border =
            folders.any(|folder| name.starts_with(folder)) || name == "host/mod.rs";
        assert!(
            is_on_the_border || !knows(named, "socketioxide"),
            "src/{name} knows socketioxide"
        );
        assert!(
            !name.starts_with("server/") || !knows(named, "rhai"),
            "src/{name} knows Rhai"
        );
    }
}

#[test]
fn the_code_of_a_type_stands_in_its_file_or_in_a_child_of_it() {
    let mut types: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let sources = sources();
    for source in &sources {
        for item in &source.code.items {
            let name = match item {
                syn::Item::Struct(item) => &item.ident,
                syn::Item::Enum(item) => &item.ident,
                syn::Item::Union(item) => &item.ident,
                _ => continue,
            };
            let places = types.entry(name.to_string()).or_default();
            places.push(source.module.clone());
        }
    }
    let mut seen = 0;
    for source in &sources {
        for item in &source.code.items {
            let syn::Item::Impl(item) = item else {
                continue;
            };
            let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) else {
                continue;
            };
            let name = of.path.segments.last().unwrap().ident.to_string();
            // Types without a definition in these files are generated by a macro.
            let Some(places) = types.get(&name) else {
                continue;
            };
            assert!(
                places.iter().any(|place| source.module.starts_with(place)),
                "src/{} has an `impl {name}`, which belongs to the file of `{name}` or a child module of it: {places:?}",
                source.name
            );
            seen += 1;
        }
    }
    assert!(seen > 100, "the `impl`s are no longer found: {seen}");
}
