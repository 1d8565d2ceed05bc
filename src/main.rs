//! The program `patchcord`: see `patchcord --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    patchcord::cli::run()
}
