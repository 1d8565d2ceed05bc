//! The program, run as a person starts it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use super::{
    server::TEST_TIMEOUT,
    wire::{frame, upgrade_request},
};

/// Folder to start the program in, with scripts and other files.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("scripts")).unwrap();
        place.write("scripts/main.rhai", "fn on_connection(socket) { }");
        for (name, text) in files {
            place.write(name, text);
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// Returns a command that runs the program with these arguments, and only these environment variables.
    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        self.command_of(
            Path::new(env!("CARGO_BIN_EXE_patchcord")),
            arguments,
            environment,
        )
    }

    /// Returns a command as [`command`](Self::command) does, for a program at another path.
    pub(crate) fn command_of(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("XDG_RUNTIME_DIR", self.path())
            .envs(environment.iter().copied())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Self::ended(self.command(arguments, environment))
    }

    /// Runs the program in a subfolder to its end.
    pub(crate) fn run_in(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments, &[]);
        command.current_dir(folder);
        Self::ended(command)
    }

    /// Runs a command to its end.
    pub(crate) fn ended(mut command: Command) -> Output {
        let mut child = command.spawn().unwrap();
        let (tell, ended) = channel();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // Reads both streams at the same time, because a program blocks while nothing reads its output.
        let errors = std::thread::spawn(move || {
            let mut err = Vec::new();
            stderr.read_to_end(&mut err).unwrap();
            err
        });
        std::thread::spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).unwrap();
            tell.send((out, errors.join().unwrap())).unwrap();
        });
        let mut child = Guard(child);
        let (stdout, stderr) = ended
            .recv_timeout(TEST_TIMEOUT)
            .expect("the program does not end by itself");
        let status = child.0.wait().unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }

    /// Starts the program, which runs until the returned value is dropped.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments, &[]).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Running {
            lines,
            _child: Guard(child),
        }
    }

    /// Runs the program to its end with a terminal as its output, and returns what it wrote there.
    pub(crate) fn run_at_a_terminal(&self, arguments: &str) -> String {
        let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_patchcord"));
        let output = Command::new("script")
            .current_dir(self.path())
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the program on a free port, and waits until it listens.
    pub(crate) fn serve(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Serving {
        Self::listening(self.command(arguments, environment))
    }

    /// Starts the program in a subfolder, and waits until it listens.
    pub(crate) fn serve_in(&self, folder: &Path, arguments: &[&str]) -> Serving {
        let mut command = self.command(arguments, &[]);
        command.current_dir(folder);
        Self::listening(command)
    }

    /// Starts the program with this limit of file descriptors, as arguments of `ulimit`, and waits until it listens.
    pub(crate) fn serve_with_descriptors(&self, descriptors: &str, arguments: &str) -> Serving {
        let program = env!("CARGO_BIN_EXE_patchcord");
        let script = format!("ulimit {descriptors} && exec {program} --port 0 {arguments}");
        let mut command = Command::new("/bin/sh");
        command
            .current_dir(self.path())
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::listening(command)
    }

    /// Starts a command, and waits until it listens.
    pub(crate) fn listening(mut command: Command) -> Serving {
        let mut child = command.spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let child = Guard(child);
        let Ok(line) = out.recv_timeout(TEST_TIMEOUT) else {
            panic!("it does not listen: {:?}", log.iter().collect::<Vec<_>>());
        };
        let address = line
            .strip_prefix("listening on http://")
            .unwrap()
            .to_owned();
        Serving {
            address,
            log,
            child,
        }
    }
}

/// Passes sockets to a command, as its file descriptors 3 and further ones.
pub(crate) fn pass(command: &mut Command, sockets: Vec<OwnedFd>, names: &str) {
    command
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names);
    let mappings = (3..).zip(sockets);
    let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command.fd_mappings(mappings.collect()).unwrap();
}

/// Returns the time of day that a line begins with, and the rest; `None` for a line that continues an event.
pub(crate) fn timed(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let shape = time.trim_end_matches('Z').chars();
    let shape: String = shape
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    (shape == "00:00:00").then_some((time, rest))
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if tell.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// Process that is killed at the end of the test, even if the test fails.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Running program.
pub(crate) struct Running {
    lines: Receiver<String>,
    _child: Guard,
}

impl Running {
    /// Returns the next `count` lines of the output.
    pub(crate) fn first(&self, count: usize) -> Vec<String> {
        let line = |_| {
            self.lines
                .recv_timeout(TEST_TIMEOUT)
                .expect("there are fewer lines")
        };
        (0..count).map(line).collect()
    }

    /// Returns the next lines of the output, up to a line `last`.
    pub(crate) fn until(&self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line| line != last) {
            let line = self.lines.recv_timeout(TEST_TIMEOUT);
            seen.push(line.unwrap_or_else(|_| panic!("`{last}` does not come after {seen:?}")));
        }
        seen
    }
}

/// Program that serves.
pub(crate) struct Serving {
    pub(crate) address: String,
    pub(crate) log: Receiver<String>,
    pub(crate) child: Guard,
}

impl Serving {
    /// Returns the next line of the log, without the time of day.
    pub(crate) fn line(&self) -> String {
        let line = self.line_with_time();
        match timed(&line) {
            Some((_, rest)) => rest.to_owned(),
            None => line,
        }
    }

    /// Returns the next line of the log.
    pub(crate) fn line_with_time(&self) -> String {
        self.log
            .recv_timeout(TEST_TIMEOUT)
            .expect("nothing more is logged")
    }

    /// Returns a number of bytes that the system reports for the process under this name.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap() << 10
    }

    /// Kills the program, so that it cleans nothing up.
    pub(crate) fn kill(&mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    pub(crate) fn signal(&self) {
        self.send("-TERM");
    }

    /// Sends a signal, such as `-HUP`.
    pub(crate) fn send(&self, signal: &str) {
        let id = self.child.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Returns the next line of the log that contains a text.
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let address = &self.address;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Returns the open packet that the server sends to a new client.
    pub(crate) fn handshake(&self) -> serde_json::Value {
        let answer = self.get("/socket.io/?EIO=4&transport=polling", "");
        let body = answer.split("\r\n\r\n0").nth(1).expect(&answer);
        serde_json::from_str(body).unwrap()
    }
}

/// Script that sends its client 10 MB, and then logs `sent`.
pub(crate) const FLOOD: &str = "fn on_connection(socket) {
    let text = \"\"; text.pad(100000, 'x');
    for n in 0..100 { socket.emit(\"n\", n, text); }
    print(\"sent\");
}
fn on_disconnect(socket, reason) { print(reason); }";

impl Serving {
    /// Returns a client that was sent more than its system buffers, and has read nothing of it.
    pub(crate) fn flooded(&self) -> TcpStream {
        let stream = self.stalled_client();
        while !self.line().contains(" sent") {}
        stream
    }

    /// Returns a client that is connected, and reads nothing.
    pub(crate) fn stalled_client(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        stream
            .write_all(upgrade_request(self.address.parse().unwrap()).as_bytes())
            .unwrap();
        stream.write_all(&frame("40")).unwrap();
        stream
    }

    /// Waits for the end of the program, and returns the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.0.wait().unwrap().code()
    }
}
