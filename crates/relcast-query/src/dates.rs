//! From when on dates are known, as the options say.

use std::borrow::Cow;

use relcast_catalog::Schema;

use crate::ast::Name;
use crate::error::QueryError;
use crate::options::{DateKnown, OptionValue, Options, option_place};

/// `schema` with its dates known from when `options` say; `written` tell where they stand.
///
/// # Errors
/// [`QueryError::Option`] if there is no date that could be known from the end of its day.
pub(crate) fn known_schema<'s>(
    schema: &'s Schema,
    options: &Options,
    written: &[(Name, OptionValue)],
) -> Result<Cow<'s, Schema>, QueryError> {
    match options.date_known {
        DateKnown::StartOfDay => Ok(Cow::Borrowed(schema)),
        DateKnown::EndOfDay if schema.dates.is_empty() => Err(QueryError::Option {
            at: option_place(written, "date_known"),
            message: "option \"date_known\" changes nothing: no table has a column of dates"
                .to_owned(),
            hint: Some("leave it out; timestamps are known from their own moment".to_owned()),
        }),
        DateKnown::EndOfDay => Ok(Cow::Owned(schema.with_dates_known_at_end())),
    }
}
