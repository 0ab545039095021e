//! How big a patch may be.

use super::{Findings, Proposed};

pub(super) fn check(proposed: &Proposed<'_>, found: &mut Findings) {
    let limits = proposed.limits;
    let stat = proposed.patch.stat();
    let Some((first, _)) = proposed.patch.iter().next() else { return };
    if stat.files > limits.files {
        let reason =
            format!("the patch changes {} files, and {} is the limit; change less", stat.files, limits.files);
        found.refuse("size", first, None, reason);
    }
    let lines = stat.added + stat.removed;
    if lines > limits.lines {
        let reason =
            format!("the patch changes {lines} lines, and {} is the limit; change less", limits.lines);
        found.refuse("size", first, None, reason);
    }
    for (path, change) in proposed.patch.iter() {
        let Some(after) = &change.after else { continue };
        let was = change.before.as_ref().map_or(0, |file| file.bytes.len());
        if after.bytes.len() > limits.bytes && after.bytes.len() > was {
            let reason =
                format!("the file has {} bytes, and {} is the limit", after.bytes.len(), limits.bytes);
            found.refuse("size", path, None, reason);
        }
        if after.as_text().is_none_or(|text| text.contains('\0')) {
            found.approval("size", path, None, "the new content is binary");
        }
    }
}
