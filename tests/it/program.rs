//! The program itself, as a person starts it.

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

/// Longer than anything here takes; only a failure waits for it.
const LONG: Duration = Duration::from_secs(20);

/// A folder to start the program in, with scripts and whatever else it needs.
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

    /// The program with these arguments, a free port, and nothing but this in its environment.
    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
        command
            .current_dir(self.path())
            .env_clear()
            .envs(environment.iter().copied())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut child = self.command(arguments, environment).spawn().unwrap();
        let (tell, ended) = channel();
        let mut streams = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            streams.1.read_to_end(&mut err).unwrap();
            streams.0.read_to_end(&mut out).unwrap();
            tell.send((out, err)).unwrap();
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

    /// Starts it and waits until it listens.
    pub(crate) fn serve(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Serving {
        let mut child = self.command(arguments, environment).spawn().unwrap();
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
            _child: child,
        }
    }
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

/// Ends the program whatever becomes of the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program while it serves.
pub(crate) struct Serving {
    pub(crate) address: String,
    log: Receiver<String>,
    _child: Guard,
}

impl Serving {
    /// The next line of its log.
    pub(crate) fn line(&self) -> String {
        self.log.recv_timeout(LONG).expect("nothing more is logged")
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

    /// What the server says of itself to a new client.
    pub(crate) fn handshake(&self) -> serde_json::Value {
        let answer = self.get("/socket.io/?EIO=4&transport=polling", "");
        let body = answer.split("\r\n\r\n0").nth(1).expect(&answer);
        serde_json::from_str(body).unwrap()
    }
}
