//! `COPY (…) TO STDOUT`: rows as text or CSV.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::DataFrame;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use futures::{Sink, SinkExt, StreamExt, TryStreamExt, stream};
use pgwire::api::Type;
use pgwire::api::results::{
    CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldFormat, FieldInfo, Tag,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use relcast_engine::EngineError;
use relcast_query::statement::Sql;

use crate::errors::of_engine;

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

/// The rows as the data of a copy, as they are computed; the first are waited for, so that what
/// fails at once fails here.
pub(crate) async fn response(
    rows: DataFrame,
    format: CopyFormat,
    text: &str,
) -> PgWireResult<CopyResponse> {
    let text = text.to_owned();
    let failed = move |error: DataFusionError| of_engine(&EngineError::from(error), &text);
    let field =
        |name: &String| FieldInfo::new(name.clone(), None, None, Type::TEXT, FieldFormat::Text);
    let names: Vec<String> =
        rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let fields = Arc::new(names.iter().map(field).collect::<Vec<_>>());
    let mut encoder = match format {
        CopyFormat::Text => CopyEncoder::new_text(fields, CopyTextOptions::default()),
        CopyFormat::Csv { .. } => CopyEncoder::new_csv(fields, CopyCsvOptions::default()),
    };
    let mut header = None;
    if format == (CopyFormat::Csv { header: true }) {
        for name in &names {
            encoder.encode_field(&Some(name.clone()))?;
        }
        header = Some(Ok(encoder.take_copy()));
    }
    let mut batches = rows.execute_stream().await.map_err(&failed)?;
    let first = batches.next().await.transpose().map_err(&failed)?;
    let batches = stream::iter(first.map(Ok)).chain(batches.map_err(failed));
    let rows = batches.flat_map(move |batch| {
        let rows = batch.and_then(|batch| encoded(&mut encoder, &batch));
        // After a row that fails there is none.
        let (rows, error) = match rows {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        stream::iter(rows.into_iter().map(Ok).chain(error))
    });
    Ok(CopyResponse::new(0, names.len(), stream::iter(header).chain(rows)))
}

fn encoded(encoder: &mut CopyEncoder, batch: &RecordBatch) -> PgWireResult<Vec<CopyData>> {
    let options = FormatOptions::default();
    let cells = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        for (column, cell) in batch.columns().iter().zip(&cells) {
            let text = (!column.is_null(row)).then(|| cell.value(row).to_string());
            encoder.encode_field(&text)?;
        }
        rows.push(encoder.take_copy());
    }
    Ok(rows)
}

/// Sends the rows of a copy as they are computed; gives what is left to tell. What fails on the way
/// is an error like any other, where the protocol's own sending would tell it as a client does.
pub(crate) async fn send<C>(client: &mut C, copy: CopyResponse) -> PgWireResult<Tag>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let formats = copy.column_formats();
    let CopyResponse { format, columns, mut data_stream, .. } = copy;
    let columns = i16::try_from(columns).unwrap_or(i16::MAX);
    let begun = CopyOutResponse::new(format, columns, formats);
    client.send(PgWireBackendMessage::CopyOutResponse(begun)).await?;
    let mut rows = 0;
    while let Some(row) = data_stream.next().await {
        client.feed(PgWireBackendMessage::CopyData(row?)).await?;
        rows += 1;
    }
    client.send(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    Ok(Tag::new("COPY").with_rows(rows))
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
