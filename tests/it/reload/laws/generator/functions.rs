//! Functions of a generated script and of the file that it imports, and hooks.

use rand::RngExt;

use super::{Scope, Type, Writer};

impl Writer {
    /// Writes the imported file.
    pub(super) fn lib(&mut self) {
        self.line("const STEP = 3;");
        let tag = self.tag();
        self.line(format!("fn calc(n) {{ [{tag}, n * global::STEP] }}"));
        self.register("listen");
    }

    /// Writes the functions of the main file, which `on_connection`, handlers and other functions call.
    pub(super) fn functions(&mut self) {
        for _ in 0..self.below(3) {
            let (name, tag) = (self.name("helper"), self.tag());
            self.line(format!("fn {name}(n) {{ [{tag}, n + 1] }}"));
            self.helpers.push(name);
        }
        if self.chance(0.3) {
            let name = self.name("repeat");
            self.game_loop(&name);
            self.loops.push(name);
        }
        for _ in 0..self.below(3) {
            let (name, tag) = (self.name("named"), self.tag());
            self.block(&format!("fn {name}(a) {{"), "}", |w| {
                // In random scripts this function must change nothing, because it has no socket to answer a probe with.
                if !w.is_random {
                    w.line("io.data.incr(\"named\", 1);");
                }
                w.line(format!("[{tag}, a]"));
            });
            self.listeners.push(name);
        }
        for _ in 0..self.below(3) {
            let name = self.name("login");
            self.register(&name);
            self.logins.push(name);
        }
    }

    /// Writes a function that registers listeners of a socket.
    fn register(&mut self, name: &str) {
        self.block(&format!("fn {name}(socket) {{"), "}", |w| {
            let mut scope = Scope {
                depth: 1,
                ..Scope::default()
            };
            w.line("let count = 0;");
            scope.variables.push(("count".to_owned(), Type::Int));
            for _ in 0..w.random.random_range(1..4) {
                match w.below(8) {
                    0..=3 => w.listener(&scope),
                    4 => w.ask(&scope),
                    _ => w.statement(&mut scope),
                }
            }
            w.observer(&scope);
        });
    }

    /// Writes a function that sets the timer for its next call.
    fn game_loop(&mut self, name: &str) {
        let (tag, after) = (self.tag(), self.random.random_range(20..70));
        self.block(&format!("fn {name}(socket) {{"), "}", |w| {
            w.line("let turn = socket.data.incr(\"turns\", 1);");
            w.line(format!("socket.emit(\"turn\", {tag}, turn);"));
            w.line(format!("set_timeout(|| {name}(socket), {after});"));
        });
    }

    pub(super) fn hooks(&mut self) {
        if self.chance(0.3) {
            self.block("fn on_load() {", "}", |w| {
                let scope = Scope {
                    variables: vec![("n".to_owned(), Type::Int)],
                    depth: 1,
                    is_load: true,
                };
                let after = w.random.random_range(20..90);
                w.line("print(\"loaded\");");
                w.line("io.data.init(\"seats\", 0);");
                w.line("let n = 0;");
                w.block("set_interval(|| {", &format!("}}, {after});"), |w| {
                    w.body(&scope, &[]);
                });
            });
        }
        if self.chance(0.3) {
            self.block("fn on_handshake(socket) {", "}", |w| {
                w.line("socket.data.k2 = socket.handshake.auth.name;");
                w.line("if io.data.incr(\"knocks\", 1) > 6 { throw \"too many\"; }");
            });
        }
        if self.chance(0.4) {
            let tag = self.tag();
            self.block("fn on_disconnect(socket, reason) {", "}", |w| {
                w.line("io.data.incr(\"players\", -1);");
                w.line("if io.data.get(\"host\") == socket.id { io.data.remove(\"host\"); }");
                w.line(format!(
                    "socket.broadcast(\"left\", {tag}, socket.id, reason);"
                ));
            });
        }
    }
}
