//! The terminal while a statement runs.

#[cfg(unix)]
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// Keeps Ctrl-C from leaving a mark on the terminal, where the progress of a training is drawn in
/// place; until it is dropped.
pub struct Unmarked {
    #[cfg(unix)]
    before: Option<Termios>,
}

impl Unmarked {
    /// Marks are left no longer, where that can be had.
    pub fn new() -> Self {
        Self {
            #[cfg(unix)]
            before: unmark(),
        }
    }
}

#[cfg(unix)]
fn unmark() -> Option<Termios> {
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut now = before.clone();
    now.local_flags.remove(LocalFlags::ECHOCTL);
    tcsetattr(std::io::stdin(), SetArg::TCSANOW, &now).ok()?;
    Some(before)
}

#[cfg(unix)]
impl Drop for Unmarked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
