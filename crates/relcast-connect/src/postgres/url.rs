//! Where a Postgres database is, and as whom it is read.

use std::fmt;

use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::error::ConnectError;

/// The parameters that a url may have; the rest would be ignored, and be it a password.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// The url of a Postgres database. Its password is in no text that comes from it.
///
/// ```
/// use relcast_connect::PostgresUrl;
///
/// let url = PostgresUrl::parse("postgres://ana:s3cret@db.internal/crm?sslmode=require")?;
/// assert!(url.has_password());
/// assert_eq!(url.to_string(), "postgres://ana@db.internal/crm?sslmode=require");
/// # Ok::<(), relcast_connect::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct PostgresUrl {
    url: Url,
    without_password: Url,
}

impl PostgresUrl {
    /// Reads `postgres://user:password@host:port/database?parameter=value`; what is left out comes
    /// from the environment as for other clients of Postgres (`PGHOST`, `PGUSER`, `PGPASSWORD`,
    /// `~/.pgpass`, …).
    ///
    /// # Errors
    /// [`ConnectError::BadUrl`], which tells nothing of a password.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let bad = |reason: String| ConnectError::BadUrl { reason };
        let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad("it does not start with postgres://".to_owned()));
        }
        // Else a part of a password would be taken for the host or the database, and be told as such.
        let at_sign =
            [Some(url.path()), url.query()].into_iter().flatten().any(|t| t.contains('@'));
        if at_sign || url.fragment().is_some() {
            let signs = "in it, @ is to be written %40, / %2F, ? %3F, # %23, and % %25";
            return Err(bad(signs.to_owned()));
        }
        if url.query_pairs().any(|(key, _)| !PARAMETERS.contains(&key.as_ref())) {
            return Err(bad(format!("its parameters may be {}", PARAMETERS.join(", "))));
        }
        let without_password = without_password(&url);
        let without_password =
            without_password.ok_or_else(|| bad("it has a password, but no host".to_owned()))?;
        let parsed = Self { url, without_password };
        parsed.options().map_err(|error| bad(error.to_string()))?;
        Ok(parsed)
    }

    /// Whether a password stands in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.url != self.without_password
    }

    /// How to connect. What the environment says is read anew each time.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options: PgConnectOptions = self.url.as_str().parse()?;
        let named = options.get_application_name().is_some();
        Ok(if named { options } else { options.application_name("relcast") })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_password.as_str())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.without_password.as_str()).finish()
    }
}

/// The same url without its password; none if it cannot be taken out.
fn without_password(url: &Url) -> Option<Url> {
    let mut without = url.clone();
    if url.password().is_some() {
        without.set_password(None).ok()?;
    }
    if url.query_pairs().any(|(key, _)| key == "password") {
        let kept = url.query_pairs().filter(|(key, _)| key != "password");
        let kept: Vec<(String, String)> =
            kept.map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        without.set_query(None);
        if !kept.is_empty() {
            without.query_pairs_mut().extend_pairs(kept);
        }
    }
    Some(without)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_told_wherever_it_stands() {
        for text in [
            "postgres://ana:s3cret@host:5432/db",
            "postgresql://ana:s3cret@host/db?sslmode=require",
            "postgres://host/db?user=ana&password=s3cret",
            "postgres:///db?password=s3cret&host=/tmp",
            "postgres://ana:x%40s3cret@host/db",
            "postgres://ana:x@s3cret@host/db",
        ] {
            let url = PostgresUrl::parse(text).unwrap();
            assert!(url.has_password(), "{text}");
            for told in [url.to_string(), format!("{url:?}")] {
                assert!(!told.contains("s3cret"), "{told}");
            }
            let again = PostgresUrl::parse(&url.to_string()).unwrap();
            assert!(!again.has_password(), "{again}");
            assert_eq!(again.to_string(), url.to_string());
        }
        let plain = "postgres://ana@host:5432/db?sslmode=require";
        assert_eq!(PostgresUrl::parse(plain).unwrap().to_string(), plain);
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for (text, reason) in [
            ("postgres://ana:s3cret", "invalid port number"),
            ("mysql://ana:s3cret@host/db", "it does not start with postgres://"),
            ("host=localhost password=s3cret", "relative URL without a base"),
            ("postgres://ana:12/s3cret@host/db", "/ %2F"),
            ("postgres://ana:12?s3cret@host/db", "? %3F"),
            ("postgres://ana:12#s3cret@host/db", "# %23"),
            ("postgres://host/db?pasword=s3cret", "its parameters may be application_name"),
            ("postgres://ana:s3cret@host/db?sslmode=maybe", "maybe"),
        ] {
            let error = PostgresUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
