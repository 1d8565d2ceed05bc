//! The program, run as a person starts it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    sockets::sid,
    wire::{frame, upgrade_request},
};

/// Time limit of a wait: longer than anything here takes, so only a failing test waits for it.
const LONG: Duration = Duration::from_secs(60);

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
    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
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
        let mut child = self.command(arguments, environment).spawn().unwrap();
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
            .recv_timeout(LONG)
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
    fn serve_with_descriptors(&self, descriptors: &str, arguments: &str) -> Serving {
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

    fn listening(mut command: Command) -> Serving {
        let mut child = command.spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let child = Guard(child);
        let Ok(line) = out.recv_timeout(LONG) else {
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
struct Guard(Child);

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
                .recv_timeout(LONG)
                .expect("there are fewer lines")
        };
        (0..count).map(line).collect()
    }

    /// Returns the next lines of the output, up to a line `last`.
    pub(crate) fn until(&self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|line| line != last) {
            let line = self.lines.recv_timeout(LONG);
            seen.push(line.unwrap_or_else(|_| panic!("`{last}` does not come after {seen:?}")));
        }
        seen
    }
}

/// Program that serves.
pub(crate) struct Serving {
    pub(crate) address: String,
    log: Receiver<String>,
    child: Guard,
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
        self.log.recv_timeout(LONG).expect("nothing more is logged")
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
        let id = self.child.0.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
    }

    pub(crate) fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
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
const FLOOD: &str = "fn on_connection(socket) {
    let text = \"\"; text.pad(100000, 'x');
    for n in 0..100 { socket.emit(\"n\", n, text); }
    print(\"sent\");
}
fn on_disconnect(socket, reason) { print(reason); }";

impl Serving {
    /// Returns a client that was sent more than its system buffers, and has read nothing of it.
    fn flooded(&self) -> TcpStream {
        let stream = self.deaf();
        while !self.line().contains(" sent") {}
        stream
    }

    /// Returns a client that is connected, and reads nothing.
    fn deaf(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
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

#[test]
fn a_hangup_looks_at_the_files_now_and_ends_nothing() {
    let place = Place::new(&[]);
    let serving = place.serve(&["--port", "0", "--no-watch"], &[]);
    assert_eq!(serving.line(), "main.rhai: version 1 serves /");
    for version in 2..5 {
        place.write(
            "scripts/main.rhai",
            &format!("fn on_connection(socket) {{ {version}; }}"),
        );
        let id = serving.child.0.id().to_string();
        let kill = Command::new("kill").args(["-HUP", &id]).status();
        assert!(kill.unwrap().success());
        let line = serving.line();
        let expected = format!("main.rhai: version {version} of / ");
        assert!(line.starts_with(&expected), "{line}");
        assert_eq!(serving.line(), "  ~ fn on_connection main.rhai:1");
    }
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_was_sent_leaves_before_it_ends() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let mut serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--drain-timeout",
            "20s",
        ],
        &[],
    );
    let mut client = serving.flooded();
    serving.signal();
    while !serving.line().contains("server shutting down") {}
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard);
    let places: Vec<_> = (0..100)
        .map(|n| heard.find(&format!("42[\"n\",{n},")))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted());
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn who_does_not_read_does_not_hold_up_its_end() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let mut serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--drain-timeout",
            "300ms",
        ],
        &[],
    );
    let _client = serving.flooded();
    serving.signal();
    while !serving.line().contains("server shutting down") {}
    assert_eq!(serving.ended(), Some(0));
}

#[test]
fn who_does_not_read_is_in_the_log_with_its_id_and_what_waited() {
    let place = Place::new(&[("scripts/main.rhai", FLOOD)]);
    let serving = place.serve(
        &[
            "--port",
            "0",
            "--max-call-time",
            "20s",
            "--max-backlog-packets",
            "20",
        ],
        &[],
    );
    let client = serving.deaf();
    let line = loop {
        let line = serving.line();
        if line.contains("slow client") {
            break line;
        }
    };
    let words: Vec<_> = line.split(' ').collect();
    let [
        "warning:",
        "slow",
        "client",
        id,
        peer,
        "disconnected:",
        packets,
        "packets",
        bytes,
        "bytes)",
        ..,
    ] = words[..]
    else {
        panic!("{line}");
    };
    assert_eq!(id.len(), 20, "{line}");
    assert_eq!(peer, format!("({})", client.local_addr().unwrap()));
    assert_eq!(packets, "21");
    let bytes = bytes.strip_prefix('(').unwrap();
    assert!(bytes.parse::<usize>().unwrap() > 2_000_000, "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new(&[]);
    let mut serving = place.serve(&["--port", "0", "--drain-timeout", "1h"], &[]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let open = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        serving.address
    );
    stream.write_all(open.as_bytes()).unwrap();
    let mut opened = String::new();
    stream.read_to_string(&mut opened).unwrap();
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let request = format!(
        "POST {path}&sid={} HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        sid(&opened),
        serving.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    // The request runs now and waits for its body, and the shutdown waits for the request.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 100"));
    serving.signal();
    // The shutdown has begun when the server accepts no more connections.
    while TcpStream::connect(&serving.address).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(serving.child.0.try_wait().unwrap(), None);
    serving.signal();
    assert_eq!(serving.child.0.wait().unwrap().code(), Some(130));
}

#[test]
fn without_file_descriptors_it_waits_and_serves_again() {
    let place = Place::new(&[]);
    let serving = place.serve_with_descriptors("-n 40", "--max-tcp-connections 1000");
    let clients: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&serving.address).unwrap())
        .collect();
    while !serving.line().contains("cannot accept connections") {}
    drop(clients);
    assert!(serving.get("/", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_leave_file_descriptors_for_files() {
    let place = Place::new(&[]);
    // The program raises the soft limit, so only the hard limit counts.
    for (descriptors, room) in [("-n 100", 68), ("-n 100 && ulimit -Sn 50", 68)] {
        let serving = place.serve_with_descriptors(descriptors, "");
        let mut clients: Vec<_> = (0..room)
            .map(|_| TcpStream::connect(&serving.address).unwrap())
            .collect();
        let mut more = TcpStream::connect(&serving.address).unwrap();
        let mut answer = String::new();
        more.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        while !serving.line().contains("`max-tcp-connections` are open") {}
        let first = &mut clients[0];
        first
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        first.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("</html>\n"), "{answer}");
    }
}

#[test]
fn a_folder_that_is_gone_keeps_serving() {
    let place = Place::new(&[]);
    let serving = place.serve(&["--port", "0", "--poll=20ms"], &[]);
    fs::remove_dir_all(place.path().join("scripts")).unwrap();
    while !serving.line().contains("keeps serving") {}
    assert!(serving.handshake()["sid"].is_string());
}
