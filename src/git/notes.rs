//! Proofs, attached to commits as notes.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Repo;

/// Where proofs are attached.
pub const NOTES_REF: &str = "refs/notes/regreen";

impl Repo {
    /// Attaches a proof to a commit, in place of an earlier one.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn attach_proof(&self, commit: &str, proof: &Value) -> Result<()> {
        let text = serde_json::to_vec_pretty(proof)?;
        let blob = self.git.text_from(&["hash-object", "-w", "--no-filters", "--stdin"], &text).await?;
        let git = self.git.clone().acting_as(&self.identity().await?);
        git.bytes(&["notes", "--ref", NOTES_REF, "add", "--force", "-C", &blob, commit]).await.map(drop)
    }

    /// The proof attached to a commit; `None` where there is none.
    ///
    /// # Errors
    /// Where the note is no JSON, or git fails.
    pub async fn read_proof(&self, commit: &str) -> Result<Option<Value>> {
        if self.resolve(NOTES_REF).await?.is_none() {
            return Ok(None);
        }
        let listed = self.git.run(&["notes", "--ref", NOTES_REF, "list", commit]).await?;
        if listed.status != Some(0) {
            return Ok(None);
        }
        let blob = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
        let note = self.git.bytes(&["cat-file", "blob", &blob]).await?;
        serde_json::from_slice(&note).map(Some).context("the note of the commit is no proof of Regreen's")
    }
}
