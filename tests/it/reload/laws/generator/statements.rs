//! Statements of `on_connection` and of the functions that register listeners.

use rand::RngExt;

use super::{KEYS, ROOMS, Scope, Type, Writer};

impl Writer {
    pub(super) fn on_connection(&mut self) {
        let (first, last) = match self.chance(0.2) {
            true => ("io.on(\"connection\", |socket| {", "});"),
            false => ("fn on_connection(socket) {", "}"),
        };
        self.block(first, last, |w| {
            let mut scope = Scope::default();
            w.observer(&scope);
            for _ in 0..w.random.random_range(4..9) {
                if w.chance(0.15) {
                    w.lone_listener(&scope);
                    w.lone_listener(&scope);
                }
                w.statement(&mut scope);
            }
            w.observer(&scope);
        });
    }

    /// Writes a listener of an event that has no other listener.
    fn lone_listener(&mut self, scope: &Scope) {
        let event = self.name("lone");
        self.events.push(event.clone());
        self.block(&format!("socket.on(\"{event}\", |a| {{"), "});", |w| {
            w.body(&scope.inner(), &["a"]);
        });
    }

    /// Writes one statement of code that has a socket.
    pub(super) fn statement(&mut self, scope: &mut Scope) {
        match self.below(20) {
            0..=4 => self.declare(scope),
            5..=8 => self.listener(scope),
            9 | 10 => self.branch(scope),
            11 => self.leave_early(scope),
            12 => {
                let words = ["join", "join", "leave", "present", "present", "absent"];
                let (word, name) = (self.pick(&words), self.pick(&ROOMS));
                let meta = match word {
                    "present" => format!(", {}", self.below(9)),
                    _ => String::new(),
                };
                self.line(format!("socket.{word}(\"{name}\"{meta});"));
            }
            13 => self.data(),
            14 => self.register_by_function(),
            15 => self.several(scope),
            16 => self.ask(scope),
            17 => self.any(scope),
            18 => self.observer(scope),
            _ => self.listener_in_variable(scope),
        }
    }

    fn declare(&mut self, scope: &mut Scope) {
        let name = self.name("v");
        let kind = match self.below(13) {
            0..=2 => {
                let value = self.number(scope);
                self.line(format!("let {name} = {value};"));
                Type::Int
            }
            3 => {
                let random = if self.is_random {
                    "random_id()"
                } else {
                    "socket.id"
                };
                let value = self.pick(&["\"text\"", "socket.handshake.auth.name", random]);
                self.line(format!("let {name} = {value};"));
                Type::Text
            }
            4 => {
                self.line(format!("let {name} = [1, [2]];"));
                Type::List
            }
            5 | 6 => {
                self.line(format!(
                    "let {name} = #{{ n: 1, list: [], deep: #{{ hp: 10 }} }};"
                ));
                Type::Map
            }
            7 => {
                self.line(format!("let {name} = ();"));
                Type::Late
            }
            8 => {
                let closure = self.closure(scope);
                self.line(format!("let {name} = {closure};"));
                Type::Closure
            }
            9 => {
                let closure = self.closure(scope);
                self.line(format!("let {name} = #{{ n: 3, f: {closure} }};"));
                Type::Table
            }
            10 => {
                let (one, two) = (self.closure(scope), self.closure(scope));
                self.line(format!("let {name} = [{one}, {two}];"));
                Type::Closures
            }
            at => return self.timer(scope, &name, at == 11),
        };
        scope.variables.push((name, kind));
    }

    /// Writes a timer that is kept in a variable.
    fn timer(&mut self, scope: &mut Scope, name: &str, repeats: bool) {
        let (word, kind) = match repeats {
            true => ("set_interval", Type::Interval),
            false => ("set_timeout", Type::Timeout),
        };
        let after = self.random.random_range(15..90);
        self.block(
            &format!("let {name} = {word}(|| {{"),
            &format!("}}, {after});"),
            |w| {
                w.body(&scope.inner(), &[]);
            },
        );
        scope.variables.push((name.to_owned(), kind));
    }

    /// Returns a number, often one that depends on the present state.
    fn number(&mut self, scope: &Scope) -> String {
        if scope.is_load || scope.depth > 1 {
            return self.below(9).to_string();
        }
        let random = if self.is_random {
            ["rand(1, 1000)", "now_ms()"]
        } else {
            ["dice(9)", "dice(4)"]
        };
        let texts = [
            "io.data.incr(\"seats\", 1)",
            "io.sockets.len()",
            "socket.rooms.len()",
            "0",
            "5",
            random[0],
            random[1],
        ];
        self.pick(&texts).to_owned()
    }

    fn condition(&mut self, scope: &Scope) -> String {
        if let Some(name) = self.variable(scope, &[Type::Int])
            && self.chance(0.2)
        {
            return format!("{name} % 2 == 0");
        }
        let random = match self.is_random {
            true => [
                "rand_bool()",
                "rand(1, 6) > 3",
                "now_ms() % 2 == 0",
                "rand_float() < 0.5",
            ],
            false => [
                "dice(2) == 0",
                "dice(6) > 3",
                "dice(3) == 1",
                "dice(2) == 1",
            ],
        };
        let of_state = [
            "io.data.incr(\"players\", 1) > 2",
            "io.data.get(\"host\") == ()",
            "io.data.has(\"ticket\")",
            "io.data.init(\"mode\", socket.id) == socket.id",
            "io.data.remove(\"ticket\") != ()",
            "io.data.get(\"seats\", 0) > 1",
            "io.sockets.len() > 2",
            "\"r1\" in io.rooms",
            "\"r0\" in socket.rooms",
            "io.is_present(\"r0\")",
            "io.present(\"r1\").len() > 1",
            "socket.data.get(\"k0\") == ()",
            "socket.data.has(\"k1\")",
            "socket.handshake.auth.role == \"admin\"",
            "socket.handshake.query.x == ()",
        ];
        match self.chance(0.2) {
            true => self.pick(&random),
            false => self.pick(&of_state),
        }
        .to_owned()
    }

    fn branch(&mut self, scope: &Scope) {
        let condition = self.condition(scope);
        let mut inner = scope.clone();
        self.line(format!("if {condition} {{"));
        self.indent += 1;
        if self.chance(0.3) {
            self.line("io.data.host = socket.id;");
        }
        self.few(&mut inner);
        self.indent -= 1;
        if self.chance(0.4) {
            let mut other = scope.clone();
            self.line("} else {");
            self.indent += 1;
            self.few(&mut other);
            self.indent -= 1;
        }
        self.line("}");
    }

    fn few(&mut self, scope: &mut Scope) {
        for _ in 0..self.random.random_range(1..4) {
            match self.chance(0.7) {
                true => self.listener(scope),
                false => self.declare(scope),
            }
        }
        self.observer(scope);
    }

    /// Writes a condition under which `on_connection` ends early for some clients.
    fn leave_early(&mut self, scope: &Scope) {
        let condition = self.condition(scope);
        let end = self.pick(&[
            "return;",
            "return;",
            "throw \"no\";",
            "socket.emit(\"full\"); socket.disconnect(); return;",
        ]);
        self.line(format!("if {condition} {{ {end} }}"));
    }

    fn data(&mut self) {
        let key = self.pick(&KEYS);
        let n = self.below(5);
        let text = match self.below(6) {
            0 => format!("socket.data.{key} = {n};"),
            1 => format!("socket.data.init(\"{key}\", {n});"),
            2 => format!("socket.data.incr(\"{key}\", {n});"),
            3 => "io.data.update(\"visits\", 0, |n| n + 1);".to_owned(),
            4 => format!("io.data.push(\"log\", {n}, 5);"),
            _ => "io.data.set(\"ticket\", socket.id);".to_owned(),
        };
        self.line(text);
    }

    /// Writes calls of functions that register listeners, or named functions as listeners.
    fn register_by_function(&mut self) {
        let (logins, listeners, loops) = (
            self.logins.clone(),
            self.listeners.clone(),
            self.loops.clone(),
        );
        match self.below(4) {
            0 if self.has_lib => self.line("x::listen(socket);"),
            1 => {
                if let Some(name) = self.pick_name(&listeners) {
                    let event = self.event();
                    self.line(format!("socket.on(\"{event}\", {name});"));
                }
            }
            2 => {
                if let Some(name) = self.pick_name(&loops) {
                    self.line(format!("{name}(socket);"));
                }
            }
            _ => {
                if let Some(name) = self.pick_name(&logins) {
                    self.line(format!("{name}(socket);"));
                }
            }
        }
    }

    /// Writes a loop that registers listeners, each with a variable of its own.
    fn several(&mut self, scope: &Scope) {
        let (index, name, event) = (self.name("i"), self.name("v"), self.event());
        let mut inner = scope.clone();
        inner.variables.push((name.clone(), Type::Int));
        self.block(&format!("for {index} in 0..2 {{"), "}", |w| {
            w.line(format!("let {name} = {index};"));
            w.block(&format!("socket.on(\"{event}\", |a| {{"), "});", |w| {
                w.body(&inner.inner(), &["a"]);
            });
        });
    }

    fn any(&mut self, scope: &Scope) {
        let change = self.change(scope);
        let tag = self.tag();
        match self.below(3) {
            0 => self.block("socket.on_any(|event, args| {", "});", |w| {
                w.line("if event == \"observe\" || args == [\"probe\"] { return; }");
                w.line(change);
                w.line(format!("socket.emit(\"any\", {tag}, event);"));
            }),
            1 => self.block("socket.middleware(|event, args| {", "});", |w| {
                let event = w.known_event();
                w.line("if event == \"observe\" || args == [\"probe\"] { return; }");
                w.line(change);
                w.line(format!(
                    "if event == \"{event}\" && args.len == 1 && args[0] == 3 {{ throw {tag}; }}"
                ));
                w.line("return;");
            }),
            _ => self.block("socket.on_any_outgoing(|event, args| {", "});", |w| {
                w.line("if event == \"state\" || event == \"probed\" { return; }");
                w.line(change);
            }),
        }
    }

    /// Writes a closure in a variable that is a listener, and an event that removes this listener.
    fn listener_in_variable(&mut self, scope: &Scope) {
        let (name, event, off) = (self.name("f"), self.event(), self.name("off"));
        self.block(&format!("let {name} = |a| {{"), "};", |w| {
            w.body(&scope.inner(), &["a"]);
        });
        self.line(format!("socket.on(\"{event}\", {name});"));
        self.events.push(off.clone());
        let tag = self.tag();
        self.block(&format!("socket.on(\"{off}\", |a| {{"), "});", |w| {
            w.probe(tag);
            w.line(format!("socket.off(\"{event}\", {name});"));
        });
    }

    /// Writes a listener that sends everything that is visible in the scope.
    pub(super) fn observer(&mut self, scope: &Scope) {
        let seen = self.seen(scope);
        let tag = self.tag();
        self.block("socket.on(\"observe\", || {", "});", |w| {
            let rooms = ROOMS.map(|room| format!("\"{room}\" in socket.rooms, \"{room}\" in io.rooms, io.present(\"{room}\")")).join(", ");
            let keys = KEYS.map(|key| format!("socket.data.get(\"{key}\")")).join(", ");
            w.line(format!("let rooms = [{rooms}];"));
            w.line(format!("let data = [{keys}];"));
            w.line(format!("socket.emit(\"state\", {tag}, {seen}, rooms, data, io.data.to_map(), io.sockets.len());"));
        });
    }
}
