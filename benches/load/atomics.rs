//! Counts the atomic instructions that a program executes: each claims a cache line exclusively, which a count of
//! instructions does not show.

use std::{collections::BTreeSet, io, process::Command};

/// Atomic instructions of a program for x86-64, by their addresses.
pub(crate) struct Atomics(BTreeSet<u64>);

impl Atomics {
    /// Finds the atomic instructions with `objdump`.
    pub(crate) fn of(program: &str) -> io::Result<Self> {
        let output = Command::new("objdump")
            .args(["--disassemble", "--no-show-raw-insn", program])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let atomic = text.lines().filter_map(|line| {
            let (address, instruction) = line.split_once(':')?;
            let address = u64::from_str_radix(address.trim(), 16).ok()?;
            is_atomic(instruction.trim()).then_some(address)
        });
        Ok(Self(atomic.collect()))
    }

    /// Returns how many of them a dump of callgrind has counted. The dump must have addresses (`--dump-instr=yes`), and
    /// instructions as its first count.
    pub(crate) fn executed(&self, dump: &str, program: &str) -> u64 {
        let Some(object) = object(dump, program) else {
            return 0;
        };
        let (mut is_program, mut is_call) = (false, false);
        let (mut address, mut executed) = (0, 0);
        for line in dump.lines() {
            if let Some(now) = line.strip_prefix("ob=") {
                is_program = now.starts_with(object);
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if let Some((place, counts)) = line.split_once(' ')
                && let Some(now) = moved(address, place)
            {
                address = now;
                // The line after a call has the cost of the called function.
                let is_own = !std::mem::take(&mut is_call) && is_program;
                let count = counts
                    .split(' ')
                    .nth(1)
                    .and_then(|count| count.parse().ok());
                executed += count
                    .filter(|_: &u64| is_own && self.0.contains(&address))
                    .unwrap_or_default();
            }
        }
        executed
    }
}

/// Returns `true` for an instruction with the prefix `lock`, and for an exchange with memory, which needs none.
fn is_atomic(instruction: &str) -> bool {
    instruction.starts_with("lock ")
        || instruction.starts_with("xchg ") && instruction.contains('(')
}

/// Returns the number by which a dump refers to a program, such as `(7)`.
fn object<'a>(dump: &'a str, program: &str) -> Option<&'a str> {
    dump.lines().find_map(|line| {
        let named = line
            .strip_prefix("ob=")
            .or_else(|| line.strip_prefix("cob="))?;
        let (number, name) = named.split_once(' ')?;
        (name == program).then_some(number)
    })
}

/// Returns the address of a line, which may be written as the distance from the line before.
fn moved(before: u64, place: &str) -> Option<u64> {
    match place.as_bytes().first()? {
        b'*' => Some(before),
        b'+' => before.checked_add(place[1..].parse().ok()?),
        b'-' => before.checked_sub(place[1..].parse().ok()?),
        _ => u64::from_str_radix(place.strip_prefix("0x")?, 16).ok(),
    }
}
