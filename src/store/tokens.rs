//! Who may call the service: tokens, and the sessions of browsers that showed one. Secrets are kept as digests only.

use anyhow::Result;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::rows::time;
use super::{Store, database, moment};
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

    fn from_row(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            scopes: row.try_get("scopes")?,
            hash: row.try_get("hash")?,
            created_at: time(row, "created_at")?,
            expires_at: maybe(row, "expires_at")?,
            revoked_at: maybe(row, "revoked_at")?,
            used_at: maybe(row, "used_at")?,
        })
    }
}

fn maybe(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|_| time(row, column)).transpose()
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
        let taken: Option<String> = sqlx::query_scalar(
            "SELECT id FROM tokens WHERE name = $1 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(&token.name)
        .bind(moment(self.now()))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database::explain)?;
        if let Some(id) = taken {
            return Err(Fault::usage(format!("there is a token named {:?} already", token.name))
                .hint(format!("choose another name, or `regreen token revoke {id}` first"))
                .into());
        }
        sqlx::query(
            "INSERT INTO tokens (id, name, scopes, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(&token.scopes)
        .bind(&token.hash)
        .bind(moment(token.created_at))
        .bind(token.expires_at.map(moment))
        .execute(&mut *transaction)
        .await
        .map_err(database::explain)?;
        transaction.commit().await.map_err(database::explain)
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_at DESC, id")
            .fetch_all(self.pool())
            .await
            .map_err(database::explain)?;
        rows.iter().map(TokenRow::from_row).collect()
    }

    /// The token with this id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRow>> {
        let row = sqlx::query("SELECT * FROM tokens WHERE id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await
            .map_err(database::explain)?;
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
        sqlx::query("UPDATE tokens SET used_at = $2 WHERE id = $1")
            .bind(&token.id)
            .bind(moment(now))
            .execute(self.pool())
            .await
            .map_err(database::explain)?;
        Ok(())
    }

    /// Revokes the valid token with this id or name, and ends its sessions. Gives its row, or `None` where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_token(&self, name: &str) -> Result<Option<TokenRow>> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE tokens SET revoked_at = $2 WHERE (id = $1 OR name = $1) AND revoked_at IS NULL RETURNING *",
        )
        .bind(name)
        .bind(moment(self.now()))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(database::explain)?;
        let token = row.as_ref().map(TokenRow::from_row).transpose()?;
        if let Some(token) = &token {
            sqlx::query("DELETE FROM sessions WHERE token = $1")
                .bind(&token.id)
                .execute(&mut *transaction)
                .await
                .map_err(database::explain)?;
        }
        transaction.commit().await.map_err(database::explain)?;
        Ok(token)
    }

    /// Begins a session of the token `token` under the digest of its secret, and drops those that are over.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn begin_session(&self, hash: &str, token: &str, until: Timestamp) -> Result<()> {
        let now = moment(self.now());
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(&now)
            .execute(&mut *transaction)
            .await
            .map_err(database::explain)?;
        sqlx::query("INSERT INTO sessions (hash, token, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(hash)
            .bind(token)
            .bind(&now)
            .bind(moment(until))
            .execute(&mut *transaction)
            .await
            .map_err(database::explain)?;
        transaction.commit().await.map_err(database::explain)
    }

    /// The token of the session under this digest, if the session is not over.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn session_token(&self, hash: &str) -> Result<Option<TokenRow>> {
        let row = sqlx::query(
            "SELECT tokens.* FROM sessions JOIN tokens ON tokens.id = sessions.token \
             WHERE sessions.hash = $1 AND sessions.expires_at > $2",
        )
        .bind(hash)
        .bind(moment(self.now()))
        .fetch_optional(self.pool())
        .await
        .map_err(database::explain)?;
        row.as_ref().map(TokenRow::from_row).transpose()
    }

    /// Ends the session under this digest.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_session(&self, hash: &str) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE hash = $1")
            .bind(hash)
            .execute(self.pool())
            .await
            .map_err(database::explain)?;
        Ok(())
    }
}
