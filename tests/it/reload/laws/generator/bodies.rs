//! Bodies of listeners, of timers and of closures in variables.

use rand::RngExt;

use super::{KEYS, ROOMS, Scope, Type, Writer};

impl Writer {
    /// Returns a closure for a variable, on one line.
    pub(super) fn closure(&mut self, scope: &Scope) -> String {
        // A closure that another one calls must not change its caller.
        let mut own = scope.clone();
        own.variables.retain(|(_, kind)| {
            matches!(
                kind,
                Type::Int | Type::Text | Type::List | Type::Map | Type::Late
            )
        });
        let (change, seen) = (self.change(&own), self.value(&own));
        match self.chance(0.15) {
            // Some closures are equal to others.
            true => format!("|peek| {{ if !peek {{ {change} }} {seen} }}"),
            false => {
                let tag = self.tag();
                format!("|peek| {{ if !peek {{ {change} }} [{tag}, {seen}] }}")
            }
        }
    }

    /// Registers a listener of some event.
    pub(super) fn listener(&mut self, scope: &Scope) {
        if self.chance(0.15) {
            let event = self.name("once");
            self.events.push(event.clone());
            return self.block(&format!("socket.once(\"{event}\", |a| {{"), "});", |w| {
                w.body(&scope.inner(), &["a"]);
            });
        }
        let event = self.event();
        match self.chance(0.15) {
            true => self.block(&format!("socket.on(\"{event}\", |a, ack| {{"), "});", |w| {
                let tag = w.tag();
                w.probe(tag);
                w.actions(&scope.inner());
                w.line(format!("if ack != () {{ ack.call({tag}, a); }}"));
            }),
            false => self.block(&format!("socket.on(\"{event}\", |a| {{"), "});", |w| {
                w.body(&scope.inner(), &["a"]);
            }),
        }
    }

    /// Writes a body that answers with a tag and a variable.
    pub(super) fn body(&mut self, scope: &Scope, arguments: &[&str]) {
        let tag = self.tag();
        if !arguments.is_empty() {
            self.probe(tag);
            match self.below(8) {
                0 => self.line("if a == 3 { return -1; }"),
                1 => self.line("if a == 4 { throw \"four\"; }"),
                _ => {}
            }
        }
        self.actions(scope);
        let value = self.value(scope);
        match arguments.is_empty() && !scope.is_load {
            true => self.line(format!("socket.emit(\"fired\", {tag}, {value});")),
            false if scope.is_load => self.line(format!("io.emit(\"tick\", {tag}, {value});")),
            false => self.line(format!("[{tag}, {value}]")),
        }
    }

    /// Makes a listener of a random script answer a probe and do nothing, because random hosts cannot be compared with
    /// each other.
    pub(super) fn probe(&mut self, tag: i64) {
        if self.is_random {
            self.line(format!(
                "if a == \"probe\" {{ socket.emit(\"probed\", {tag}); return; }}"
            ));
        }
    }

    pub(super) fn actions(&mut self, scope: &Scope) {
        for _ in 0..self.random.random_range(1..4) {
            match scope.is_load {
                true => {
                    let change = self.change(scope);
                    self.line(change);
                }
                false => self.action(scope),
            }
        }
    }

    /// Returns a change of a variable, on one line.
    pub(super) fn change(&mut self, scope: &Scope) -> String {
        let at = match scope.variables.len() {
            0 => return "io.data.incr(\"changes\", 1);".to_owned(),
            n => self.below(n),
        };
        let (name, kind) = scope.variables[at].clone();
        let n = self.random.random_range(1..5);
        match kind {
            Type::Int => match self.below(4) {
                0 => format!("{name} += global::STEP;"),
                _ => format!("{name} += {n};"),
            },
            Type::Text => format!("{name} += \"{n}\";"),
            Type::List => format!("{name}.push({n});"),
            Type::Map => {
                let changes = ["n += 1", "deep.hp -= 1", "list.push(1)", "late = 1"];
                format!("{name}.{};", self.pick(&changes))
            }
            Type::Late => match self.below(2) {
                0 => format!("{name} = {n};"),
                _ => format!("{name} = #{{ n: {n} }};"),
            },
            Type::Closure => format!("{name}.call(false);"),
            Type::Table => match self.below(2) {
                0 => format!("{name}.n += 1;"),
                _ => format!("{name}.f.call(false);"),
            },
            Type::Closures => format!("for f in {name} {{ f.call(false); }}"),
            Type::Timeout => format!("clear_timeout({name});"),
            Type::Interval => format!("clear_interval({name});"),
        }
    }

    fn action(&mut self, scope: &Scope) {
        let tag = self.tag();
        let value = self.value(scope);
        let (room, key, n) = (self.pick(&ROOMS), self.pick(&KEYS), self.below(5));
        match self.below(18) {
            0..=3 => {
                let change = self.change(scope);
                self.line(change);
            }
            4 => self.line(format!("socket.emit(\"out\", {tag}, {value});")),
            5 => self.line(format!("io.to(\"{room}\").emit(\"room\", {tag}, {value});")),
            6 => self.line(format!(
                "socket.broadcast.emit(\"others\", {tag}, {value});"
            )),
            7 => {
                let word = self.pick(&["join", "leave", "present", "absent"]);
                self.line(format!("socket.{word}(\"{room}\");"));
            }
            8 if scope.depth < 3 => self.listener(scope),
            9 if scope.depth < 3 => self.replace_timer(scope),
            10 => self.replace_closure(scope),
            11 => {
                let event = self.known_event();
                self.line(format!("socket.off(\"{event}\");"));
            }
            12 if scope.depth < 3 => self.ask(scope),
            13 => self.line(format!("socket.data.{key} = {n};")),
            14 => self.shared(),
            15 => self.call(tag),
            16 => self.line(format!(
                "io.fetch_sockets(|all| {{ socket.emit(\"all\", {tag}, all.len); }});"
            )),
            17 if self.chance(0.1) => self.line("socket.disconnect();"),
            _ => self.line(format!(
                "socket.to(\"{room}\").emit(\"room\", {tag}, {value});"
            )),
        }
    }

    /// Writes a timer that replaces the one in a variable.
    fn replace_timer(&mut self, scope: &Scope) {
        let after = self.random.random_range(15..90);
        let Some(name) = self.variable(scope, &[Type::Timeout]) else {
            let word = self.pick(&["set_timeout", "set_timeout", "set_interval"]);
            return self.block(&format!("{word}(|| {{"), &format!("}}, {after});"), |w| {
                w.body(&scope.inner(), &[]);
            });
        };
        self.line(format!("clear_timeout({name});"));
        self.block(
            &format!("{name} = set_timeout(|| {{"),
            &format!("}}, {after});"),
            |w| w.body(&scope.inner(), &[]),
        );
    }

    fn replace_closure(&mut self, scope: &Scope) {
        let kinds = [Type::Closure, Type::Table, Type::Closures];
        let Some(name) = self.variable(scope, &kinds) else {
            return;
        };
        let closure = self.closure(scope);
        let kind = scope
            .variables
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, kind)| *kind);
        self.line(match kind {
            Some(Type::Closure) => format!("{name} = {closure};"),
            Some(Type::Table) => format!("{name}[\"f\"] = {closure};"),
            _ => format!("if {name}.len < 4 {{ {name}.push({closure}); }}"),
        });
    }

    /// Writes a question to the client, with or without a timeout.
    pub(super) fn ask(&mut self, scope: &Scope) {
        let (first, after) = match self.below(2) {
            0 => ("socket.emit(\"ask\", |answer| {", ""),
            _ => (
                "socket.timeout(40).emit(\"ask\", |err, answer| {",
                "socket.emit(\"error\", err != ());",
            ),
        };
        self.block(first, "});", |w| {
            w.line(after);
            w.line("socket.emit(\"answered\", answer);");
            w.body(&scope.inner(), &[]);
        });
    }

    fn shared(&mut self) {
        let text = self.pick(&[
            "io.data.incr(\"players\", -1);",
            "io.data.remove(\"host\");",
            "io.data.remove(\"mode\");",
            "io.data.set(\"ticket\", 1);",
            "io.data.push(\"log\", 7, 5);",
            "io.data.update(\"visits\", 0, |n| n + 1);",
        ]);
        self.line(text);
    }

    fn call(&mut self, tag: i64) {
        let (helpers, logins, listeners) = (
            self.helpers.clone(),
            self.logins.clone(),
            self.listeners.clone(),
        );
        match self.below(4) {
            0 => {
                if let Some(name) = self.pick_name(&helpers) {
                    self.line(format!("socket.emit(\"out\", {tag}, {name}(2));"));
                }
            }
            1 => {
                if let Some(name) = self.pick_name(&logins) {
                    self.line(format!("{name}(socket);"));
                }
            }
            2 => {
                if let Some(name) = self.pick_name(&listeners) {
                    let event = self.event();
                    self.line(format!("socket.on(\"{event}\", {name});"));
                }
            }
            _ if self.has_lib => {
                let text = [
                    "x::listen(socket);".to_owned(),
                    format!("socket.emit(\"out\", {tag}, x::calc(2));"),
                ];
                let at = self.below(2);
                self.line(&text[at]);
            }
            _ => {}
        }
    }
}
