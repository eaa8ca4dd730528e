//! Who may connect, and what they may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, gen_salted_password, random_nonce};
use pgwire::api::auth::{AuthSource, LoginInfo, Password};
use pgwire::error::{PgWireError, PgWireResult};
use relcast_engine::Access;
use relcast_query::statement::{Sql, Statement};

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Read and predict.
    Reader,
    /// Train, write and drop, too.
    Writer,
}

impl Role {
    /// What the SQL of the role may do.
    pub(crate) fn access(self) -> Access {
        match self {
            Self::Reader => Access::Read,
            Self::Writer => Access::Write,
        }
    }

    /// Whether the role may run the statement, as far as its kind tells.
    #[must_use]
    pub fn may_run(self, statement: &Statement) -> bool {
        self == Self::Writer || reads_only(statement)
    }
}

fn reads_only(statement: &Statement) -> bool {
    match statement {
        Statement::Sql(sql) => reads_only_sql(sql),
        // Without a model one would be trained.
        Statement::ExplainPredict { about, query } => {
            *about != relcast_query::statement::Explain::Analyze || query.model.is_some()
        }
        Statement::ExplainCreateModel(_)
        | Statement::EvaluateModel { .. }
        | Statement::ExplainModel { .. }
        | Statement::CheckModel(_)
        | Statement::ShowModels
        | Statement::DescribeModel(_)
        | Statement::ShowLinks
        | Statement::DescribeGraph => true,
        Statement::CreateModel(_)
        | Statement::DropModel { .. }
        | Statement::AlterModel { .. }
        | Statement::RefreshModel(_)
        | Statement::CreateView(_)
        | Statement::DropView { .. }
        | Statement::CreateSource { .. }
        | Statement::DropSource(_) => false,
    }
}

/// Whether SQL reads only: without a model one would be trained. What its plan does is decided
/// where it is planned.
fn reads_only_sql(sql: &Sql) -> bool {
    sql.predictions.iter().all(|query| query.model.is_some())
}

/// The users with their salted passwords and roles.
#[derive(Debug, Clone)]
pub struct Users {
    users: BTreeMap<String, User>,
    /// What everybody may do where there are no users.
    everybody: Role,
}

impl Default for Users {
    fn default() -> Self {
        Self::everybody(Role::Writer)
    }
}

#[derive(Clone)]
struct User {
    role: Role,
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Users {
    /// No users: whoever connects needs no password, and may do what the role may.
    #[must_use]
    pub fn everybody(role: Role) -> Self {
        Self { users: BTreeMap::new(), everybody: role }
    }

    /// Adds a user, or replaces the one of that name. The password is kept salted only.
    pub fn add(&mut self, name: &str, password: &str, role: Role) {
        let salt = random_nonce().into_bytes();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        self.users.insert(name.to_owned(), User { role, salt, salted });
    }

    /// Whether there are none, so that everybody may connect.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// What the user may do.
    #[must_use]
    pub fn role(&self, name: &str) -> Role {
        match self.users.get(name) {
            Some(user) => user.role,
            None if self.is_empty() => self.everybody,
            None => Role::Reader,
        }
    }
}

/// Gives the salted passwords to the authentication.
#[derive(Debug)]
pub(crate) struct Passwords(pub(crate) Arc<Users>);

#[async_trait]
impl AuthSource for Passwords {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let name = login.user().unwrap_or_default();
        match self.0.users.get(name) {
            Some(user) => Ok(Password::new(Some(user.salt.clone()), user.salted.clone())),
            None => Err(PgWireError::InvalidPassword(name.to_owned())),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_users_everybody_is_a_writer_if_not_said_otherwise() {
        assert_eq!(Users::default().role("ana"), Role::Writer);
        assert_eq!(Users::everybody(Role::Reader).role("ana"), Role::Reader);
        let mut users = Users::default();
        users.add("ana", "secret", Role::Writer);
        assert_eq!((users.role("ana"), users.role("eve")), (Role::Writer, Role::Reader));
    }

    #[test]
    fn a_reader_reads_and_predicts_and_changes_nothing() {
        let may = |sql: &str| {
            let statement = relcast_query::statements(sql).unwrap().next().unwrap().unwrap();
            assert!(Role::Writer.may_run(&statement));
            Role::Reader.may_run(&statement)
        };
        for sql in [
            "SELECT * FROM t",
            "PREDICT USING MODEL m",
            "WITH p AS (PREDICT USING MODEL m) SELECT * FROM p",
            "EXPLAIN PREDICT SUM(t.x, 0, 1) FOR EACH u.id",
            "SHOW MODELS",
            "EVALUATE MODEL m",
            "SET statement_timeout = 5",
            "(SELECT 1)",
        ] {
            assert!(may(sql), "{sql}");
        }
        for sql in [
            "CREATE MODEL m AS PREDICT SUM(t.x, 0, 1) FOR EACH u.id",
            "PREDICT SUM(t.x, 0, 1) FOR EACH u.id",
            "SELECT * FROM (PREDICT SUM(t.x, 0, 1) FOR EACH u.id)",
            "EXPLAIN ANALYZE PREDICT SUM(t.x, 0, 1) FOR EACH u.id",
            "DROP MODEL m",
            "REFRESH MODEL m",
            "ALTER MODEL m SET DEFAULT VERSION 1",
        ] {
            assert!(!may(sql), "{sql}");
        }
    }
}
