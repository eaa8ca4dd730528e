//! `COPY (…) TO STDOUT`: rows as text or CSV.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use futures::stream;
use pgwire::api::Type;
use pgwire::api::results::{
    CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldFormat, FieldInfo,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::copy::CopyData;
use relcast_query::statement::Sql;

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    Text,
    /// With or without a header.
    Csv {
        header: bool,
    },
}

/// The SQL whose rows are to be sent, for `COPY ( sql ) TO STDOUT …`, or `COPY table TO STDOUT …`.
pub(crate) fn to_stdout(sql: &Sql) -> Option<(Sql, CopyFormat)> {
    if sql.first_words(1) != ["COPY"] {
        return None;
    }
    let is = |token: &TokenWithSpan, word: &str| matches!(&token.token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
    let end = sql.tokens.windows(2).rposition(|t| is(&t[0], "TO") && is(&t[1], "STDOUT"))?;
    let has = |word: &str| sql.tokens.iter().skip(end).any(|t| is(t, word));
    let format = match has("CSV") {
        true => CopyFormat::Csv { header: has("HEADER") },
        false => CopyFormat::Text,
    };
    let inner = sql.tokens.get(1..end)?;
    let tokens = match (inner.first().map(|t| &t.token), inner.last().map(|t| &t.token)) {
        (Some(Token::LParen), Some(Token::RParen)) => inner.get(1..inner.len() - 1)?.to_vec(),
        _ => {
            let span = inner.first()?.span;
            let word = |text: &str| Token::make_word(text, None);
            let select = [word("SELECT"), Token::Mul, word("FROM")];
            let select = select.map(|token| TokenWithSpan { token, span });
            select.into_iter().chain(inner.iter().cloned()).collect()
        }
    };
    Some((Sql { tokens, ..sql.clone() }, format))
}

/// The rows as the data of a copy.
pub(crate) fn response(batches: &[RecordBatch], format: CopyFormat) -> PgWireResult<CopyResponse> {
    let columns = batches.first().map_or(0, RecordBatch::num_columns);
    let names = batches.first().map(RecordBatch::schema);
    let names: Vec<String> =
        names.map(|s| s.fields().iter().map(|f| f.name().clone()).collect()).unwrap_or_default();
    let field =
        |name: &String| FieldInfo::new(name.clone(), None, None, Type::TEXT, FieldFormat::Text);
    let fields = Arc::new(names.iter().map(field).collect::<Vec<_>>());
    let mut encoder = match format {
        CopyFormat::Text => CopyEncoder::new_text(fields, CopyTextOptions::default()),
        CopyFormat::Csv { .. } => CopyEncoder::new_csv(fields, CopyCsvOptions::default()),
    };
    let mut rows: Vec<PgWireResult<CopyData>> = Vec::new();
    if format == (CopyFormat::Csv { header: true }) {
        for name in &names {
            encoder.encode_field(&Some(name.clone()))?;
        }
        rows.push(Ok(encoder.take_copy()));
    }
    let options = FormatOptions::default();
    for batch in batches {
        let cells = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PgWireError::ApiError(Box::new(error)))?;
        for row in 0..batch.num_rows() {
            for (column, cell) in batch.columns().iter().zip(&cells) {
                let text = (!column.is_null(row)).then(|| cell.value(row).to_string());
                encoder.encode_field(&text)?;
            }
            rows.push(Ok(encoder.take_copy()));
        }
    }
    Ok(CopyResponse::new(0, columns, stream::iter(rows)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use relcast_query::statement::Statement;

    fn read(text: &str) -> Option<(String, CopyFormat)> {
        let statement = relcast_query::statements(text).unwrap().next().unwrap().unwrap();
        let Statement::Sql(sql) = statement else { panic!("{text}") };
        let (sql, format) = to_stdout(&sql)?;
        let words: Vec<String> = sql.tokens.iter().map(|t| t.token.to_string()).collect();
        Some((words.join(" "), format))
    }

    #[test]
    fn what_goes_to_stdout_is_taken_out_of_copy() {
        let text = CopyFormat::Text;
        assert_eq!(read("COPY t TO STDOUT"), Some(("SELECT * FROM t".to_owned(), text)));
        let csv = CopyFormat::Csv { header: true };
        let copy =
            "copy (SELECT a FROM (SELECT 1 AS a) b) to stdout with (format csv, header true)";
        let inner = "SELECT a FROM ( SELECT 1 AS a ) b";
        assert_eq!(read(copy), Some((inner.to_owned(), csv)));
        assert_eq!(read("COPY (SELECT 1) TO 'f.parquet'"), None);
        assert_eq!(read("SELECT 1"), None);
    }
}
