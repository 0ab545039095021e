//! What must hold of whatever git prints.

use super::Version;
use super::blobs::{index_entries, tree_entries};
use super::difference::read_blobs;

/// Reads `listed` as each of the listings that are read.
pub(crate) fn listings(listed: &[u8]) {
    for (path, _) in tree_entries(listed) {
        assert!(!path.contains(&0));
    }
    for (path, _, _) in index_entries(listed) {
        assert!(!path.contains(&0));
    }
    if let Ok(blobs) = read_blobs(listed) {
        let all: usize = blobs.values().map(Vec::len).sum();
        assert!(all <= listed.len());
    }
    Version::read(&String::from_utf8_lossy(listed));
}
