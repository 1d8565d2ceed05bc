//! Random scripts in which each closure has a hidden identity. An edit swaps and inserts statements, changes the layout
//! and changes one literal; every closure must be found again.

use std::fmt::Write;

use proptest::prelude::*;

use super::align;
use crate::script::{Version, places::tests::version};

/// Statement with its closures, at most one of which has its own literal.
#[derive(Debug, Clone)]
struct Piece {
    id: usize,
    kind: usize,
    variables: (usize, usize),
    literal: i64,
}

/// Position of each closure in the text, with its identity.
type Identities = Vec<((String, (usize, usize)), (usize, usize))>;

/// Writer that records where closures start: each `\u{1}` marks the start of the next closure of a piece.
struct Writer {
    text: String,
    identities: Vec<(usize, (usize, usize))>,
}

impl Writer {
    fn piece(&mut self, id: usize, code: &str) {
        for (index, part) in code.split('\u{1}').enumerate() {
            if index > 0 {
                self.identities.push((self.text.len(), (id, index)));
            }
            self.text.push_str(part);
        }
    }

    /// Returns the positions of closures as the parser counts them.
    fn places(&self, file: &str) -> Identities {
        let place = |offset: usize| {
            let before = &self.text[..offset];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            (file.to_owned(), (line, column))
        };
        let identities = self.identities.iter();
        identities
            .map(|(offset, id)| (place(*offset), *id))
            .collect()
    }
}

impl Piece {
    fn code(&self, gap: &str) -> String {
        let Self {
            id,
            kind,
            variables: (a, b),
            literal,
        } = self;
        let c = '\u{1}';
        match kind {
            0 => format!(
                "socket.on(\"e{id}\",{gap}{c}|| {{ v{a} += 1;{gap}[v{a}, v{b}, {literal}] }});"
            ),
            1 => format!(
                "socket.on(\"e{id}\", {c}|| {{ let n = 0; socket.on(\"n{id}\", {c}|| {{ n += 1;{gap}v{a} += n; [n, v{a}, {literal}] }}); v{b} }});"
            ),
            2 => format!(
                "let m{id} = #{{ f: {c}|| {{ v{a} += 2; {literal} }},{gap}g: [{c}|| v{b}] }}; socket.on(\"e{id}\", {c}|| [m{id}.f.call(),{gap}m{id}.g[0].call(), v{a}]);"
            ),
            3 => format!(
                "let c{id} = {c}|x| x + v{a} + {literal}; socket.on(\"e{id}\", {c}|| {{ v{b} += 1; c{id}.call(v{b}) }});"
            ),
            4 => format!(
                "socket.on(\"e{id}\", {c}|| {{ let k = {c}||{gap}v{a} * {literal}; k.call() }});"
            ),
            5 => format!(
                "set_timeout({c}|| {{ v{a} += {literal}; v{a} }},{gap}{});",
                100 + id
            ),
            6 => format!(
                "if v{a} < {literal} {{ socket.emit(\"q{id}\", v{b}, {c}|x| {{ v{a} = x;{gap}}}); }} else {{ set_interval({c}|| v{b} += 1, {}); }}",
                300 + id
            ),
            _ => format!(
                "[v{a}, {id}].map({c}|x| x + {literal}).filter({c}|x| x > v{b});{gap}socket.on(`e{id}${{v{a}}}`, {c}|x| x + {id});"
            ),
        }
    }
}

/// Writes the pieces into two files, with one layout.
fn write(pieces: &[Piece], gaps: &[usize]) -> (Version, Identities) {
    let gap = |n: usize| ["\n", "\n\n// c\n", " /* x */ ", "\n\t", " "][gaps[n % gaps.len()] % 5];
    let mut main = Writer {
        text: String::new(),
        identities: Vec::new(),
    };
    let mut lib = Writer {
        text: "fn help(socket, v0) { let v1 = 1; let v2 = 2; let v3 = 3;\n".to_owned(),
        identities: Vec::new(),
    };
    main.text
        .push_str("import \"lib/l\" as l;\nfn on_connection(socket) {\n");
    for variable in 0..4 {
        write!(main.text, "let v{variable} = {variable};{}", gap(variable)).unwrap();
    }
    main.text.push_str("l::help(socket, v0);\n");
    for (n, piece) in pieces.iter().enumerate() {
        let writer = if piece.id % 3 == 2 {
            &mut lib
        } else {
            &mut main
        };
        writer.piece(piece.id, &piece.code(gap(n)));
        writer.text.push_str(gap(n + 7));
    }
    main.text.push('}');
    lib.text.push('}');
    let files = [("main.rhai", &*main.text), ("lib/l.rhai", &*lib.text)];
    let identities = [main.places("main.rhai"), lib.places("lib/l.rhai")].concat();
    (version(&files), identities)
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (0..8_usize, 0..4_usize, 0..4_usize, 1..4_i64);
    prop::collection::vec(piece, 2..9).prop_map(|pieces| {
        let pieces = pieces.into_iter().enumerate();
        pieces
            .map(|(id, (kind, a, b, literal))| Piece {
                id,
                kind,
                variables: (a, b),
                literal,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_closure_is_found_again(
        old in pieces(),
        inserted in prop::collection::vec((0..8_usize, 0..4_usize, 0..4_usize, 1..4_i64, any::<prop::sample::Index>()), 0..3),
        swapped in any::<(prop::sample::Index, prop::sample::Index)>(),
        edited in prop::option::of(any::<prop::sample::Index>()),
        gaps in prop::collection::vec(0..5_usize, 4..12),
    ) {
        let mut new = old.clone();
        if let Some(edited) = edited {
            edited.get_mut(&mut new).literal += 1000;
        }
        new.swap(swapped.0.index(old.len()), swapped.1.index(old.len()));
        for (n, (kind, a, b, literal, at)) in inserted.into_iter().enumerate() {
            let piece = Piece { id: 50 + n, kind, variables: (a, b), literal };
            new.insert(at.index(new.len() + 1), piece);
        }
        let (old_version, old_ids) = write(&old, &[0]);
        let (new_version, new_ids) = write(&new, &gaps);
        let id = |version: &Version, ids: &Identities, index: usize| {
            let row = version.places().row(index).unwrap();
            // If two files have equal closures at equal positions, one of them is moved by a column.
            let is_at = |at: (usize, usize)| at.0 == row.position.0 && row.position.1 - at.1.min(row.position.1) < 3 && at.1 <= row.position.1;
            let mut here: Vec<_> = ids.iter().filter(|((file, at), _)| **file == *row.file && is_at(*at)).collect();
            here.sort_by_key(|((_, at), _)| std::cmp::Reverse(at.1));
            let found = here.first();
            found.map(|(_, id)| *id).unwrap()
        };
        prop_assert_eq!(old_version.places().rows().len(), old_ids.len());
        prop_assert_eq!(new_version.places().rows().len(), new_ids.len());
        let alignment = align(old_version.places(), new_version.places());
        for index in 0..old_ids.len() {
            let expected = id(&old_version, &old_ids, index);
            let found = alignment.new_row(index).map(|new| id(&new_version, &new_ids, new));
            prop_assert_eq!(
                found,
                Some(expected),
                "{}\n---\n{}",
                old_version.source("main.rhai").unwrap(),
                new_version.source("main.rhai").unwrap()
            );
        }
    }
}
