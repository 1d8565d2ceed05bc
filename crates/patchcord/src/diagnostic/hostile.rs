//! Text that attacks a terminal, for tests.

/// Text from a client that tries to clear the screen, set the title of the terminal, and forge lines.
pub const TEXT: &str = "name\u{1b}[2J\u{1b}]0;own\u{7}\nFORGED: line\rFORGED\
    \r\nFORGED\u{202e}\u{2028}FORGED\u{85}\
    FORGED\0\u{7f}\u{9b}2J\u{2066}\u{200f}\u{2029}FORGED\n\nFORGED";
