//! The parts of the user's file that are about what is learnt from runs.

use std::time::Duration;

use super::reader::Section;
use super::user::set;
use crate::fault::Fault;

/// What is remembered of fixes that worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRules {
    /// Whether verified fixes are remembered, replayed and shown to models.
    pub enabled: bool,
    /// Whether fixes of other repos in the same store are tried, too.
    pub share: bool,
    /// How long a fix has to stay where it landed before it counts; nothing where it counts at once.
    pub watch: Duration,
    /// How long a fix is kept that was neither proven again nor used.
    pub keep: Duration,
    /// Whether failures and their fixes may be written out for training models.
    pub pairs: bool,
}

impl Default for MemoryRules {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { enabled: true, share: false, watch: day, keep: 365 * day, pairs: false }
    }
}

pub(super) const MEMORY: &[&str] = &["enabled", "share", "watch", "keep", "pairs"];

pub(super) fn memory(target: &mut MemoryRules, section: &Section<'_, '_>) -> Result<(), Fault> {
    set(&mut target.enabled, section.boolean("enabled")?);
    set(&mut target.share, section.boolean("share")?);
    set(&mut target.watch, section.wait("watch")?);
    set(&mut target.keep, section.age("keep")?);
    set(&mut target.pairs, section.boolean("pairs")?);
    Ok(())
}
