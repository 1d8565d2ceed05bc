//! Many edits of random kinds of random scripts, under many clients, against a host without edits and a model.
//!
//! `SOAK_EDITS=500 cargo test --test it soak_edits` makes 500 edits under 200 clients.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::reload::laws::generator::Program;
use crate::reload::laws::number;
use crate::reload::laws::saves::change_a_tag;
use crate::reload::laws::saves::change_nothing;
use crate::reload::laws::saves::with_line;
use crate::reload::laws::twins::Twins;
use crate::reload::laws::twins::same;

mod prelude;

use prelude::Prelude;

const EDITS: u64 = 40;
/// Number of edits of one script.
const EDITS_OF_A_SCRIPT: u64 = 20;
/// Number of events between two edits.
const STEPS: usize = 6;
/// Number of clients that are asked for their whole state after an edit.
const ASKED: usize = 6;

/// Script with its edits, its clients, and a model of each client.
struct Soak {
    program: Program,
    prelude: Prelude,
    twins: Twins,
    /// State of each client in the model.
    models: Vec<Prelude>,
    random: StdRng,
}

impl Soak {
    fn new(seed: u64, clients: usize) -> Result<Self, String> {
        let mut program = Program::generate(seed);
        let alive = with_line(
            program.main(),
            program.entry_line(),
            "socket.on(\"alive\", || 1);",
        );
        program.files.insert("main.rhai", alive);
        let mut soak = Self {
            twins: Twins::new(&program),
            program,
            prelude: Prelude::default(),
            models: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        };
        soak.twins.most = clients + 2;
        soak.save_prelude(Prelude::default());
        for _ in 0..clients {
            soak.connect()?;
        }
        Ok(soak)
    }

    /// Edits the part that the model knows; all clients adopt it.
    fn save_prelude(&mut self, new: Prelude) {
        for model in &mut self.models {
            model.adopt(&self.prelude, &new);
        }
        self.prelude = new;
        let text = self
            .prelude
            .put_into(self.program.main(), self.program.entry_line());
        self.twins.edited.edit("main.rhai", &text);
        self.program.files.insert("main.rhai", text);
    }

    fn connect(&mut self) -> Result<(), String> {
        let before = self.twins.clients.len();
        self.twins.connect()?;
        if self.twins.clients.len() > before {
            self.models.push(self.prelude.clone());
        }
        Ok(())
    }

    /// Makes one edit of some kind; returns a description.
    fn edit(&mut self) -> String {
        let Self {
            program,
            twins,
            random,
            ..
        } = self;
        match random.random_range(0..10) {
            0 | 1 => change_nothing(program, twins, random).to_owned(),
            2..=4 => change_a_tag(program, twins, random),
            5 => {
                let text = program.main().to_owned();
                twins
                    .edited
                    .edit("main.rhai", &format!("{text}\nfn broken( {{"));
                // The save is rejected, and nothing changes.
                twins.edited.events();
                "a broken save".to_owned()
            }
            kind => {
                let (before, text) = (self.prelude.clone(), program.main().to_owned());
                let mut new = before.clone();
                let what = new.edit(random);
                self.save_prelude(new);
                if kind > 6 || self.program.main() == text {
                    return what.to_owned();
                }
                self.twins.edited.rollback("/").unwrap();
                for model in &mut self.models {
                    model.adopt(&self.prelude, &before);
                }
                self.prelude = before;
                self.program.files.insert("main.rhai", text);
                format!("{what}, and a rollback")
            }
        }
    }

    /// Makes something happen.
    fn step(&mut self) -> Result<(), String> {
        match self.random.random_range(0..4) {
            0 => {
                let at = self.random.random_range(0..self.models.len());
                let mut random = StdRng::seed_from_u64(self.random.random());
                self.ask(at, |model| vec![model.act(&mut random)])?;
                self.twins.compare()
            }
            _ => {
                let before = self
                    .twins
                    .clients
                    .iter()
                    .map(|[client, _]| client.id().to_owned())
                    .collect::<Vec<_>>();
                self.twins.step(&self.program, &mut self.random)?;
                let now: Vec<_> = self
                    .twins
                    .clients
                    .iter()
                    .map(|[client, _]| client.id())
                    .collect();
                // Removes the models of clients that have left; clients that have connected begin with the state of the
                // text.
                let mut at = 0;
                self.models.retain(|_| {
                    at += 1;
                    now.contains(&&*before[at - 1])
                });
                self.models.resize(now.len(), self.prelude.clone());
                Ok(())
            }
        }
    }

    /// Asks a client something, and compares the answer with that of the model.
    fn ask(
        &mut self,
        at: usize,
        ask: impl FnOnce(&mut Prelude) -> Vec<prelude::Question>,
    ) -> Result<(), String> {
        let [edited, plain] = &self.twins.clients[at];
        let alive = edited.ask("alive", ());
        same(
            &format!("client {at} is alive"),
            &alive,
            &plain.ask("alive", ()),
        )?;
        // The part of the model is complete only if `on_connection` has run to its end, or returned.
        if alive.is_none() {
            return Ok(());
        }
        for question in ask(&mut self.models[at]) {
            plain.emit(question.event, &question.args);
            let answer = edited.ask(question.event, &question.args);
            same(
                &format!(
                    "client {at}: {} {:?} (below: the model)",
                    question.event, question.args
                ),
                &answer,
                &question.answer,
            )?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        for _ in 0..ASKED.min(self.models.len()) {
            let at = self.random.random_range(0..self.models.len());
            self.ask(at, |model| model.questions())?;
        }
        self.twins.observe(&mut self.random);
        self.twins.compare()
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..EDITS_OF_A_SCRIPT {
            for _ in 0..STEPS {
                if self.models.is_empty() {
                    self.connect()?;
                } else {
                    self.step()?;
                }
            }
            let what = self.edit();
            self.twins.note(format!("SAVED: {what}"));
            self.twins.silent()?;
            self.check()?;
        }
        Ok(())
    }
}

/// Runs one script with its clients and edits. Tries up to three times, because a busy machine may make a difference.
fn soak(seed: u64, clients: usize) -> Result<(), String> {
    let run = || {
        let mut soak = Soak::new(seed, clients)?;
        soak.run().map_err(|problem| {
            format!(
                "LAWS_SEED={seed}\n{problem}\nafter: {}\n{}",
                soak.twins.story(),
                soak.program.main()
            )
        })
    };
    run().or_else(|_| run()).or_else(|_| run())
}

#[test]
fn random_edits_under_many_clients_do_what_the_model_says() {
    let (edits, clients) = match number("SOAK_EDITS") {
        Some(edits) => (edits, 200),
        None => (EDITS, 20),
    };
    let seeds = match number("LAWS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1000..u64::MAX,
    };
    let scripts = usize::try_from(edits.div_ceil(EDITS_OF_A_SCRIPT)).unwrap();
    let compared = seeds
        .filter(|seed| !Program::generate(*seed).is_random)
        .take(scripts);
    let failed: Vec<_> = compared
        .filter_map(|seed| soak(seed, clients).err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {scripts} scripts differ\n{}",
        failed.len(),
        failed[0]
    );
}
