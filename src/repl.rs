//! `patchcord repl`

use std::{
    cell::RefCell,
    env, fs,
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use rustyline::{
    CompletionType, Config, Editor, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{exit::PROBLEMS, report};
use patchcord::{
    event::HostEvent,
    script::Folder,
    testing::{Answer, Console},
};

const HELP: &str = "\
A line is Rhai, and its value is shown; variables stay. What clients are sent is shown too.

  let ada = connect()                     a client of `/`
  let bob = connect(\"/chat\", #{ auth: #{ token: \"x\" } })
  ada.emit(\"chat message\", \"hi\")          sends an event; `ask` gives the answer to one
  inspect(ada), why(\"line\", ada)          the state of its connection; why an event is heard, or is not
  ada.handlers                            the events that its socket listens to
  io.data, io.of(\"/chat\").sockets         what scripts see
  advance(1000)                           moves the clock, by milliseconds
  :quit                                   ends; so does Ctrl-D

All words: `patchcord test` in the README. A save of a script takes effect with the next line.";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord repl                          the folder `scripts`, in memory: nobody else can connect
  patchcord repl bot.rhai                 one script, as `/`
  patchcord repl -e 'connect().ask(\"add\", 1, 2)'
  patchcord repl < lines.rhai             runs lines from a file

Exit codes: 0 every line ran, 1 one failed or a script did, 2 it cannot run. On a terminal it is 0.")]
pub(super) struct ReplOptions {
    /// Folder of scripts, or one script
    #[arg(value_name = "PATH", default_value = "scripts")]
    path: PathBuf,
    /// Run this line instead of reading input; can be repeated
    #[arg(short, long, value_name = "LINE")]
    eval: Vec<String>,
}

/// Runs the lines of the arguments, of a person at the terminal, or of the standard input.
pub(super) fn run(options: &ReplOptions) -> anyhow::Result<ExitCode> {
    let console = Console::open(Arc::new(Folder::new(&options.path)))?;
    let mut session = Session {
        console: Rc::new(RefCell::new(console)),
        failed: false,
    };
    let loaded = session.console.borrow().events();
    session.announce(&loaded);
    if !options.eval.is_empty() {
        options.eval.iter().for_each(|line| session.take(line));
    } else if io::stdin().is_terminal() {
        return typed(&mut session);
    } else {
        session.read(io::stdin().lock())?;
    }
    Ok(match session.failed {
        true => ExitCode::from(PROBLEMS),
        false => ExitCode::SUCCESS,
    })
}

struct Session {
    console: Rc<RefCell<Console>>,
    /// `true` after a line or a script has failed.
    failed: bool,
}

impl Session {
    /// Runs lines to the end of the input.
    fn read(&mut self, input: impl BufRead) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in input.lines() {
            text += &line.context("the standard input cannot be read")?;
            if self.console.borrow().is_unfinished(&text) {
                text += "\n";
                continue;
            }
            self.take(&text);
            text.clear();
        }
        self.take(&text);
        Ok(())
    }

    fn take(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let answer = self.console.borrow_mut().run(text.trim_end());
        let Answer {
            value,
            heard,
            events,
            ..
        } = answer;
        self.announce(&events);
        heard.iter().for_each(|sentence| report::line(sentence));
        match value {
            Ok(value) => value.iter().for_each(|value| report::line(value)),
            Err(problem) => {
                self.failed = true;
                report::problem(&problem);
            }
        }
    }

    fn announce(&mut self, events: &[HostEvent]) {
        for event in events {
            self.failed |= matches!(
                event,
                HostEvent::HandlerFailed { .. } | HostEvent::Rejected { .. }
            );
            report::event(event);
        }
    }
}

/// Runs the lines that a person types, until the person quits.
fn typed(session: &mut Session) -> anyhow::Result<ExitCode> {
    let config = Config::builder().completion_type(CompletionType::List);
    let config = config.build();
    let mut editor = Editor::<Typing, FileHistory>::with_config(config)?;
    editor.set_helper(Some(Typing(session.console.clone())));
    let history = history();
    if let Some(file) = &history {
        // The file does not exist the first time.
        let _ = editor.load_history(file);
    }
    report::output("`:help` says what can be typed here");
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                editor.add_history_entry(&line)?;
                if let Some(file) = &history {
                    // A history that cannot be saved is no reason to fail.
                    let _ = editor.append_history(file);
                }
                match line.trim() {
                    ":quit" => break,
                    ":help" => report::output(HELP),
                    _ => session.take(&line),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("the terminal cannot be read"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the file for the history of typed lines, and creates its folder.
fn history() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/state"));
    let folder = state.or_else(home)?.join("patchcord");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("repl-history"))
}

/// Helper of the line editor: completion, and the end of unfinished input.
struct Typing(Rc<RefCell<Console>>);

impl Completer for Typing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..position).unwrap_or_default();
        Ok(self.0.borrow().complete(typed))
    }
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        // An empty line ends unfinished input.
        let goes_on = !text.ends_with('\n') && self.0.borrow().is_unfinished(text);
        Ok(match goes_on && !text.starts_with(':') {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Typing {
    type Hint = String;
}

impl Highlighter for Typing {}

impl Helper for Typing {}
