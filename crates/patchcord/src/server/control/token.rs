//! The token of the TCP port.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::distr::{Alphanumeric, SampleString};

use super::place::{private, runtime_folder};

/// Length of a token: 190 random bits.
const LENGTH: usize = 32;

/// Token in a file that only this user can read; the file is removed with this value.
#[derive(Debug)]
pub(super) struct Token {
    path: PathBuf,
    text: Arc<str>,
}

/// Returns the file with the token of a port.
pub fn token_file(port: u16) -> PathBuf {
    runtime_folder().join(format!("{port}.token"))
}

impl Token {
    /// Draws a token, and writes it.
    pub(super) fn write(path: &Path) -> Result<Self, String> {
        private(&runtime_folder())?;
        let text = Alphanumeric.sample_string(&mut rand::rng(), LENGTH);
        // One of a server that has ended without removing it.
        let _ = fs::remove_file(path);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        file.and_then(|mut file| writeln!(file, "{text}"))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            path: path.to_owned(),
            text: text.into(),
        })
    }

    pub(super) fn text(&self) -> Arc<str> {
        self.text.clone()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differing = pairs.fold(0, |differing, (a, b)| differing | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}
