//! Keeps keys from being shown as `^C` while a live view draws: the terminal would move the cursor for it, and the view would be cleared one
//! line too low.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// As long as this lives, control keys are not echoed.
pub struct Unseen(Termios);

impl Unseen {
    /// `None` where standard input is no terminal, or another program has it.
    pub fn begin() -> Option<Self> {
        let terminal = std::io::stdin();
        // A program in the background that touches the terminal's settings is stopped by the kernel.
        if tcgetpgrp(&terminal).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(&terminal, OptionalActions::Now, &unseen).ok()?;
        Some(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let terminal = std::io::stdin();
        if tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp()) {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &self.0);
        }
    }
}
