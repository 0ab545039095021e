//! Statements that both databases understand: one text, one way to run it, and their failures explained.
//!
//! What differs is written as a word with an at sign: `@now` is the database's own clock in milliseconds since 1970, `@lock` keeps the rows
//! that were read from others until the transaction ends, `@skip` also passes over those that others keep, `@age` numbers the rows
//! of `runs` in the order in which they were made. SQLite needs neither lock: there is one writer at a time. `@columns(table)` are the
//! columns of a table (`columns.rs`).

use anyhow::Result;
use jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query as Statement;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, Type};

use super::columns;
use super::database::explain;

/// The connections to the one or the other.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Several statements of which all count or none. Dropped without [`Transaction::commit`], none does.
#[derive(Debug)]
pub(crate) enum Transaction {
    /// With the moment it began: on one machine the machine's clock is the database's.
    Sqlite(sqlx::Transaction<'static, Sqlite>, Timestamp),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Transaction {
    /// Makes it count.
    ///
    /// # Errors
    /// Where the database fails; whether it counts is not known then.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Transaction::Sqlite(transaction, _) => transaction.commit().await,
            Transaction::Postgres(transaction) => transaction.commit().await,
        }
        .map_err(explain)
    }
}

/// Where a statement runs.
#[derive(Debug)]
pub(crate) enum On<'a> {
    /// Alone, on any connection, at this moment by the machine's clock.
    Pool(&'a Pool, Timestamp),
    /// As part of a transaction.
    Transaction(&'a mut Transaction),
}

impl<'a> From<&'a super::Store> for On<'a> {
    fn from(store: &'a super::Store) -> Self {
        On::Pool(&store.pool, store.now())
    }
}

impl<'a> From<&'a mut Transaction> for On<'a> {
    fn from(transaction: &'a mut Transaction) -> Self {
        On::Transaction(transaction)
    }
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Flag(bool),
}

macro_rules! values {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

values! {
    &str => |text| Value::Text(Some(text.to_owned()));
    &String => |text| Value::Text(Some(text.clone()));
    String => |text| Value::Text(Some(text));
    Option<&str> => |text| Value::Text(text.map(str::to_owned));
    &Option<String> => |text| Value::Text(text.clone());
    Option<String> => |text| Value::Text(text);
    i64 => |number| Value::Number(Some(number));
    Option<i64> => |number| Value::Number(number);
    bool => |flag| Value::Flag(flag);
}

/// A statement with its values.
#[derive(Debug)]
pub(crate) struct Query {
    text: &'static str,
    values: Vec<Value>,
}

/// A statement; its values are `$1`, `$2`, … in the order in which they are bound.
pub(crate) fn query(text: &'static str) -> Query {
    let names_columns = !["SELECT *", "RETURNING *", ".*"].iter().any(|all| text.contains(all));
    debug_assert!(names_columns, "columns that another Regreen adds must not turn up: {text}");
    Query { text, values: Vec::new() }
}

/// Runs one statement with one of sqlx's methods, wherever it is to run.
macro_rules! run {
    ($query:ident, $on:expr, $method:ident, $done:expr, $pg_done:expr) => {
        match $on.into() {
            On::Pool(Pool::Sqlite(pool), now) => $query.sqlite(now).$method(pool).await.map($done),
            On::Pool(Pool::Postgres(pool), _) => $query.postgres().$method(pool).await.map($pg_done),
            On::Transaction(Transaction::Sqlite(transaction, now)) => {
                $query.sqlite(*now).$method(&mut **transaction).await.map($done)
            }
            On::Transaction(Transaction::Postgres(transaction)) => {
                $query.postgres().$method(&mut **transaction).await.map($pg_done)
            }
        }
        .map_err(explain)
    };
}

impl Query {
    /// Gives the next value.
    #[must_use]
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows.
    ///
    /// # Errors
    /// Where the database fails.
    pub(crate) async fn all<'a>(self, on: impl Into<On<'a>>) -> Result<Vec<Row>> {
        run!(self, on, fetch_all, |rows| rows.into_iter().map(Row::Sqlite).collect(), |rows| rows
            .into_iter()
            .map(Row::Postgres)
            .collect())
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub(crate) async fn first<'a>(self, on: impl Into<On<'a>>) -> Result<Option<Row>> {
        run!(self, on, fetch_optional, |row| row.map(Row::Sqlite), |row| row.map(Row::Postgres))
    }

    /// The only row of a statement that always has one.
    ///
    /// # Errors
    /// Where the database fails.
    pub(crate) async fn one<'a>(self, on: impl Into<On<'a>>) -> Result<Row> {
        run!(self, on, fetch_one, Row::Sqlite, Row::Postgres)
    }

    /// Changes rows, and tells how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub(crate) async fn execute<'a>(self, on: impl Into<On<'a>>) -> Result<u64> {
        run!(self, on, execute, |done| done.rows_affected(), |done| done.rows_affected())
    }

    fn sqlite(mut self, now: Timestamp) -> Statement<'static, Sqlite, SqliteArguments> {
        let mut text = self.text.into_sql_str();
        if self.text.contains('@') {
            // Bound and not written out, so that the text stays the same and is prepared once.
            let place = format!("${}", self.values.len() + 1);
            let written = columns::spelt_out(self.text);
            let written = written.replace("@lock", "").replace("@skip", "").replace("@age", "rowid");
            if written.contains("@now") {
                self.values.push(Value::Number(Some(now.as_millisecond())));
            }
            text = AssertSqlSafe(written.replace("@now", &place)).into_sql_str();
        }
        self.values.into_iter().fold(sqlx::query(text), |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Number(number) => statement.bind(number),
            Value::Flag(flag) => statement.bind(flag),
        })
    }

    fn postgres(self) -> Statement<'static, Postgres, PgArguments> {
        let text = spelt_for_postgres(self.text);
        self.values.into_iter().fold(sqlx::query(text), |statement, value| match value {
            // What tools print may hold any character; PostgreSQL's texts hold all but one.
            Value::Text(text) => statement.bind(text.map(|text| text.replace('\0', "\u{fffd}"))),
            Value::Number(number) => statement.bind(number),
            Value::Flag(flag) => statement.bind(flag),
        })
    }
}

fn spelt_for_postgres(text: &'static str) -> SqlStr {
    if !text.contains('@') {
        return text.into_sql_str();
    }
    let written = columns::spelt_out(text)
        .replace("@lock", "FOR UPDATE")
        .replace("@skip", "FOR UPDATE SKIP LOCKED")
        .replace("@age", "number")
        .replace("@now", "regreen_now()");
    AssertSqlSafe(written).into_sql_str()
}

/// A row of either.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// Where there is no such column, or it holds something else.
    pub(crate) fn get<T>(&self, column: &str) -> Result<T>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A number that is never below nought, which SQL has no type for.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub(crate) fn count(&self, column: &str) -> Result<u64> {
        Ok(self.get::<i64>(column)?.max(0).unsigned_abs())
    }
}

/// A number as SQL has it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
