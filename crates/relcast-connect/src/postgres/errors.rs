//! What went wrong with a Postgres database, and what to do about it.

use std::time::Duration;

use sqlx::Error;

use crate::error::ConnectError;

const PASSWORD: &str = "give the password in the url, in PGPASSWORD or in ~/.pgpass; what stood in a \
     url is known only to the process that read it";
const RUNNING: &str = "check that the server runs, and host and port of the url";
const AGAIN: &str = "run the statement again";

fn source(place: &str, reason: String, hint: Option<&'static str>) -> ConnectError {
    ConnectError::Source { place: place.to_owned(), reason, hint }
}

/// A connection could not be made.
pub(super) fn unreachable(place: &str, error: &Error) -> ConnectError {
    match error {
        Error::Io(error) => source(place, format!("cannot connect: {error}"), Some(RUNNING)),
        other => failed(place, other),
    }
}

/// A server takes the connection, but says nothing.
pub(super) fn silent(place: &str, waited: Duration) -> ConnectError {
    let reason = format!("no answer within {} seconds", waited.as_secs());
    source(place, reason, Some(RUNNING))
}

/// As many connections as there may be are in use.
pub(super) fn busy(place: &str, most: usize) -> ConnectError {
    let reason = format!("all {most} connections to it are in use");
    source(place, reason, Some("run the statement again when others have finished"))
}

/// The source was dropped while a statement still knew it.
pub(super) fn dropped(place: &str) -> ConnectError {
    source(place, "it was dropped".to_owned(), Some("create it again"))
}

pub(super) fn no_schema(place: &str, schema: &str, schemas: &[String]) -> ConnectError {
    let reason =
        format!("no schema \"{schema}\" in the database, which has {}", schemas.join(", "));
    source(place, reason, Some("name one with the option schema"))
}

/// A statement failed.
pub(super) fn failed(place: &str, error: &Error) -> ConnectError {
    let database = match error {
        Error::Database(database) => database,
        Error::Io(error) => {
            return source(place, format!("the connection was lost: {error}"), Some(AGAIN));
        }
        Error::Configuration(reason) => return source(place, reason.to_string(), None),
        Error::Tls(reason) => {
            let reason = format!("no TLS connection: {reason}");
            return source(place, reason, Some("check sslmode and sslrootcert of the url"));
        }
        other => return source(place, other.to_string(), None),
    };
    let code = database.code().unwrap_or_default();
    let hint = match &*code {
        "28P01" | "28000" => Some(PASSWORD),
        "3D000" => Some("check the database in the url"),
        "42501" => Some("grant the user of the url SELECT on the table and USAGE on its schema"),
        "53300" => Some("the server has no connection left; try again later"),
        // Shut down, crashed, starting.
        "57P01" | "57P02" | "57P03" => Some(AGAIN),
        // A table or column that is no longer there.
        "42P01" | "42703" => Some("it has changed since it was looked up; run the statement again"),
        _ => None,
    };
    source(place, database.message().to_owned(), hint)
}
