//! Unix socket of the control channel.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Maximum length of the path of a Unix socket, in bytes. The limit is that of the system.
const MAX_PATH: usize = 100;

/// Unix socket that is removed when this value is dropped.
#[derive(Debug)]
pub(super) struct UnixSocket {
    path: PathBuf,
    pub(super) listener: UnixListener,
    /// Lock file, locked while a server listens, so that two servers do not replace a stale socket at the same time.
    _lock: File,
}

impl UnixSocket {
    /// Listens at a path, and replaces a socket on which no server listens any more.
    ///
    /// # Errors
    /// Returns a description of the problem: another server listens there, something else is there, or the system
    /// rejects the socket.
    pub(super) fn bind(path: &Path) -> Result<Self, String> {
        if path.as_os_str().as_bytes().len() > MAX_PATH {
            return Err(format!(
                "a path of more than {MAX_PATH} bytes cannot be a socket; choose a shorter one with `--control`"
            ));
        }
        let lock = lock(&path.with_extension("lock"))?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
            Ok(about) if !about.file_type().is_socket() => {
                return Err("a file at this path is not a socket".to_owned());
            }
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(taken()),
            Ok(_) => fs::remove_file(path).map_err(|error| error.to_string())?,
        }
        let listener = UnixListener::bind(path).map_err(|error| error.to_string())?;
        let this = Self {
            path: path.to_owned(),
            listener,
            _lock: lock,
        };
        // Until this call, only the check of user ids rejects clients of other users.
        let mode = fs::set_permissions(path, Permissions::from_mode(0o600));
        mode.map_err(|error| error.to_string())?;
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the sockets in a folder on which no server listens any more.
pub(super) fn remove_stale(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|end| end == "sock")
            // A server that is about to listen there holds the lock.
            && let Ok(_lock) = lock(&path.with_extension("lock"))
            && UnixStream::connect(&path).is_err()
        {
            remove(&path);
        }
    }
}

/// Removes a socket and its lock, which is held.
fn remove(path: &Path) {
    // Another process may have already removed them.
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(path.with_extension("lock"));
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn lock(path: &Path) -> Result<File, String> {
    let options = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let file = options.map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(taken()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

fn taken() -> String {
    "another server listens there; `--control` chooses another place".to_owned()
}
