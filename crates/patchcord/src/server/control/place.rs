//! Locations of control sockets.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Returns the folder of control sockets: `$XDG_RUNTIME_DIR/patchcord`, or `/tmp/patchcord-UID` if that variable is not
/// set to an absolute path.
pub fn runtime_folder() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match runtime.filter(|folder| folder.is_absolute()) {
        Some(folder) => folder.join("patchcord"),
        None => {
            let user = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/patchcord-{user}"))
        }
    }
}

/// Returns the sockets in the runtime folder on which servers listen.
#[cfg(feature = "internals")]
pub fn running() -> Vec<PathBuf> {
    let Ok(folder) = private(&runtime_folder()) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "sock"))
        .filter(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
        .collect();
    sockets.sort();
    sockets
}

/// Creates a folder that only this user may use, if there is none, and checks that it is such a folder.
pub(super) fn private(folder: &Path) -> Result<PathBuf, String> {
    let shown = folder.display();
    make(folder).map_err(|error| format!("`{shown}` cannot be created: {error}"))?;
    let about = fs::symlink_metadata(folder).map_err(|error| format!("`{shown}`: {error}"))?;
    let user = rustix::process::getuid().as_raw();
    if !about.is_dir() || about.uid() != user {
        return Err(format!("`{shown}` is no folder of this user"));
    }
    if about.permissions().mode() & 0o077 != 0 {
        return Err(format!("others may use `{shown}`; its mode must be 700"));
    }
    Ok(folder.to_owned())
}

/// Creates the parent folder of a path, if there is none.
pub(super) fn make_parent(path: &Path) -> Result<(), String> {
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) if !folder.is_dir() => {
            make(folder).map_err(|error| format!("its folder cannot be created: {error}"))
        }
        _ => Ok(()),
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
