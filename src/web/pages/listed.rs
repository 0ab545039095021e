//! What pages that list something share: the form above the list, and how long a page is.

use serde::{Deserialize, Serialize};

use crate::store::Store;

/// Rows on a page.
pub(super) const PAGE: u32 = 50;
/// Repos that a form offers.
const REPOS: u32 = 1000;

/// What the form above a list says whose rows have a state: empty fields filter nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) repo: String,
    #[serde(default)]
    pub(super) text: String,
    #[serde(default, skip_serializing)]
    pub(super) cursor: String,
}

/// What a field of a form says, unless it is empty.
pub(super) fn some(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The repos that a form lets people choose from.
///
/// # Errors
/// Where the store fails.
pub(super) async fn repos(store: &Store) -> anyhow::Result<Vec<String>> {
    Ok(store.repos(None, None, REPOS).await?.into_iter().map(|row| row.repo).collect())
}
