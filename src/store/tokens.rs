//! Who may call the service: tokens, and the sessions of browsers that showed one. Secrets are kept as digests only.

use anyhow::Result;
use jiff::Timestamp;

use super::rows::{maybe, time};
use super::sql::{Row, query};
use super::{Store, moment};
use crate::fault::Fault;

/// A row of `tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public part.
    pub id: String,
    /// What people call it; stands in the audit log and with approvals.
    pub name: String,
    /// What it may do: names of scopes with a space between them.
    pub scopes: String,
    /// SHA-256 of its secret part, in lower-case hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` for one that does not.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub used_at: Option<Timestamp>,
}

impl TokenRow {
    /// Whether it may be used at this moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            scopes: row.get("scopes")?,
            hash: row.get("hash")?,
            created_at: time(row, "created_at")?,
            expires_at: maybe(row, "expires_at")?,
            revoked_at: maybe(row, "revoked_at")?,
            used_at: maybe(row, "used_at")?,
        })
    }
}

/// The least time between two notes that a token was used.
const NOTE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Store {
    /// Adds a token; its moments of use and revocation count for nothing.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where a valid token has the same name.
    pub async fn add_token(&self, token: &TokenRow) -> Result<()> {
        let mut transaction = self.begin().await?;
        let taken = query(
            "SELECT id FROM tokens WHERE name = $1 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(&token.name)
        .bind(moment(self.now()))
        .first(&mut transaction)
        .await?;
        if let Some(taken) = taken {
            let id: String = taken.get("id")?;
            return Err(Fault::usage(format!("there is a token named {:?} already", token.name))
                .hint(format!("choose another name, or `regreen token revoke {id}` first"))
                .into());
        }
        query(
            "INSERT INTO tokens (id, name, scopes, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(&token.scopes)
        .bind(&token.hash)
        .bind(moment(token.created_at))
        .bind(token.expires_at.map(moment))
        .execute(&mut transaction)
            .await?;
        transaction.commit().await
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>> {
        let rows =
            query("SELECT @columns(tokens) FROM tokens ORDER BY created_at DESC, id").all(self).await?;
        rows.iter().map(TokenRow::from_row).collect()
    }

    /// The token with this id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRow>> {
        let row = query("SELECT @columns(tokens) FROM tokens WHERE id = $1").bind(id).first(self).await?;
        row.as_ref().map(TokenRow::from_row).transpose()
    }

    /// Notes that a token was used, once a minute at most.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token_used(&self, token: &TokenRow) -> Result<()> {
        let now = self.now();
        if token.used_at.is_some_and(|last| now.duration_since(last) < NOTE) {
            return Ok(());
        }
        query("UPDATE tokens SET used_at = $2 WHERE id = $1")
            .bind(&token.id)
            .bind(moment(now))
            .execute(self)
            .await?;
        Ok(())
    }

    /// Revokes the valid token with this id or name, and ends its sessions. Gives its row, or `None` where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_token(&self, name: &str) -> Result<Option<TokenRow>> {
        let mut transaction = self.begin().await?;
        let row = query(
            "UPDATE tokens SET revoked_at = $2 WHERE (id = $1 OR name = $1) AND revoked_at IS NULL RETURNING @columns(tokens)",
        )
        .bind(name)
        .bind(moment(self.now()))
        .first(&mut transaction)
            .await?;
        let token = row.as_ref().map(TokenRow::from_row).transpose()?;
        if let Some(token) = &token {
            query("DELETE FROM sessions WHERE token = $1").bind(&token.id).execute(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(token)
    }

    /// Begins a session of the token `token` under the digest of its secret, and drops those that are over.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn begin_session(&self, hash: &str, token: &str, until: Timestamp) -> Result<()> {
        let now = moment(self.now());
        let mut transaction = self.begin().await?;
        query("DELETE FROM sessions WHERE expires_at <= $1").bind(&now).execute(&mut transaction).await?;
        query("INSERT INTO sessions (hash, token, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(hash)
            .bind(token)
            .bind(&now)
            .bind(moment(until))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await
    }

    /// The token of the session under this digest, if the session is not over.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn session_token(&self, hash: &str) -> Result<Option<TokenRow>> {
        let row = query(
            "SELECT @columns(tokens) FROM sessions JOIN tokens ON tokens.id = sessions.token \
             WHERE sessions.hash = $1 AND sessions.expires_at > $2",
        )
        .bind(hash)
        .bind(moment(self.now()))
        .first(self)
        .await?;
        row.as_ref().map(TokenRow::from_row).transpose()
    }

    /// Ends the session under this digest.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_session(&self, hash: &str) -> Result<()> {
        query("DELETE FROM sessions WHERE hash = $1").bind(hash).execute(self).await?;
        Ok(())
    }
}
