//! Rules of WRITING for names and doc comments, as far as a program can hold them: openings that say nothing, and names
//! that the field has better ones for.

use std::{fs, path::Path};

use syn::visit::{self, Visit};

/// First words of doc comments that do not say what something is or does.
const OPENINGS: [&str; 22] = [
    "Anew", "By", "For", "Gives", "Has", "How", "If", "Of", "See", "So", "Takes", "Tells", "What",
    "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Without",
];

/// Names of items and constants that have a standard term instead.
const NAMES: [(&str, &str); 44] = [
    ("deaf", "stalled"),
    ("part_with", "disconnect_stalled"),
    ("Parted", "Disconnecting"),
    ("Watched", "Tracked"),
    ("seats", "connection_limit"),
    ("Seat", "ConnectionPermit"),
    ("storm", "throttle"),
    ("Storms", "EventThrottle"),
    ("own_or_new", "context_or_init"),
    ("end_own", "close_context"),
    ("go_through", "run_steps"),
    ("go_on", "defer"),
    ("Firing", "Dispatch"),
    ("in_two", "as_name_and_args"),
    ("unpolled", "poll_queue"),
    ("Outbox", "Notifier"),
    ("owes", "expect_from_engine"),
    ("is_owed", "engine_pending"),
    ("push_of_crate", "push_engine_frames"),
    ("waits_for_mark", "awaiting_barrier"),
    ("Verdict", "RateDecision, HandshakeReply"),
    ("Carried", "CarriedState"),
    ("carry", "transfer_state"),
    ("Words", "ApiReference"),
    ("alike", "ambiguous"),
    ("tell_apart", "check_ambiguous_calls"),
    ("Asks", "PendingAcks"),
    ("Ask", "PendingAck"),
    ("Knock", "AckWaker"),
    ("giver", "requester"),
    ("Made", "DraftResult"),
    ("MadeBy", "RegisteredBy"),
    ("keyed", "with_keys"),
    ("Held", "ConnectionState"),
    ("Everyone", "InMemoryNamespace"),
    ("News", "ClientEvent"),
    ("Clockwork", "TestRuntime"),
    ("says_goodbye", "close"),
    ("kill", "abort"),
    ("is_news", "has_changed"),
    ("is_ours", "matches_path"),
    ("ENOUGH", "a constant by unit and noun"),
    ("PATIENCE", "a constant by unit and noun"),
    ("AGAIN", "a constant by unit and noun"),
];

/// Violations of the rules in one file.
#[derive(Default)]
struct Findings {
    openings: Vec<String>,
    names: Vec<String>,
    documented: usize,
}

impl Findings {
    fn attributes(&mut self, attributes: &[syn::Attribute]) {
        let mut texts = attributes
            .iter()
            .filter_map(|attribute| match &attribute.meta {
                syn::Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                    syn::Expr::Lit(syn::ExprLit {
                        lit: syn::Lit::Str(text),
                        ..
                    }) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            });
        let Some(first) = texts.next() else {
            return;
        };
        self.documented += 1;
        let word = first
            .split(|c: char| !c.is_alphabetic())
            .find(|word| !word.is_empty());
        if word.is_some_and(|word| OPENINGS.contains(&word)) && !first.trim_start().starts_with('`')
        {
            self.openings.push(first.trim().to_owned());
        }
    }

    fn name(&mut self, name: &syn::Ident) {
        let name = name.to_string();
        if let Some((_, better)) = NAMES.iter().find(|(banned, _)| *banned == name) {
            self.names.push(format!("`{name}`: say {better}"));
        }
    }
}

impl Visit<'_> for Findings {
    fn visit_file(&mut self, file: &syn::File) {
        self.attributes(&file.attrs);
        visit::visit_file(self, file);
    }

    fn visit_field(&mut self, field: &syn::Field) {
        self.attributes(&field.attrs);
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &syn::Variant) {
        self.attributes(&variant.attrs);
        visit::visit_variant(self, variant);
    }

    fn visit_item_static(&mut self, item: &syn::ItemStatic) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_static(self, item);
    }

    fn visit_item_trait(&mut self, item: &syn::ItemTrait) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        self.attributes(&item.attrs);
        self.name(&item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        self.attributes(&item.attrs);
        self.name(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &syn::TraitItemFn) {
        self.attributes(&item.attrs);
        self.name(&item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &syn::ItemStruct) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &syn::ItemEnum) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_type(&mut self, item: &syn::ItemType) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_const(&mut self, item: &syn::ItemConst) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        self.attributes(&item.attrs);
        self.name(&item.ident);
        visit::visit_item_mod(self, item);
    }
}

fn read(folder: &Path, found: &mut Vec<(String, Findings)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let mut findings = Findings::default();
            findings.visit_file(&syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
            found.push((path.display().to_string(), findings));
        }
    }
}

#[test]
fn doc_comments_and_names_follow_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "crates/patchcord/src"] {
        read(&root.join(folder), &mut found);
    }
    let documented: usize = found.iter().map(|(_, one)| one.documented).sum();
    assert!(
        documented > 2_000,
        "the comments are no longer found: {documented}"
    );
    let problems = found.iter().flat_map(|(file, one)| {
        let openings = one
            .openings
            .iter()
            .map(move |text| format!("{file}: /// {text}"));
        openings.chain(one.names.iter().map(move |name| format!("{file}: {name}")))
    });
    let problems: Vec<_> = problems.collect();
    assert!(
        problems.is_empty(),
        "{} lines:\n{}",
        problems.len(),
        problems.join("\n")
    );
}
