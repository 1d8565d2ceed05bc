//! Token of the control channel's TCP port.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::distr::{Alphanumeric, SampleString};

use super::place::{private, runtime_folder};

/// Length of a token, in characters: 190 random bits.
const LENGTH: usize = 32;

/// Token in a file that only this user can read. The file is removed when this value is dropped.
#[derive(Debug)]
pub(super) struct Token {
    path: PathBuf,
    text: Arc<str>,
}

/// Returns the path of the file with the token of a port.
pub fn token_file(port: u16) -> PathBuf {
    runtime_folder().join(format!("{port}.token"))
}

impl Token {
    /// Generates a token, and writes it to a file.
    pub(super) fn write(path: &Path) -> Result<Self, String> {
        private(&runtime_folder())?;
        let text = Alphanumeric.sample_string(&mut rand::rng(), LENGTH);
        // An earlier server may have ended without removing its file.
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
        // The file may already be gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns `true` if two texts are the same. The time of the comparison does not reveal where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differing = pairs.fold(0, |differing, (a, b)| differing | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}
