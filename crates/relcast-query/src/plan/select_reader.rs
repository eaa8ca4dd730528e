//! What a SELECT of labels yields: its columns looked up by name, its rows counted and checked.

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use relcast_catalog::{Schema, TableId, key_equality, quoted};

use super::select::{CUTOFF, LABEL, LabelSelect, TIMESTAMPS, WEIGHT, cutoff_and, labels, listed};
use super::session::{collect, with_timestamps};
use crate::ast::{ForClause, Selection};
use crate::bind::{TaskType, ValueType, bind_entity};
use crate::error::{Place, QueryError, did_you_mean};
use crate::options::{OnError, Options};
use crate::statement::LabelledRows;
use crate::time::Horizon;

/// A [`LabelSelect`] with what a person should know about its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedSelect {
    /// The SELECT.
    pub select: LabelSelect,
    /// Rows that are left out and columns that are not used, each in a sentence.
    pub notes: Vec<String>,
}

impl LabelSelect {
    /// Looks up the columns of a written SELECT, runs it, and checks its rows.
    ///
    /// # Errors
    /// A missing column with its nearest name, a column of a wrong type, rows that share a cutoff
    /// and key, weights that are none, a horizon that is missing, or no label row at all.
    pub async fn check(
        context: &SessionContext,
        schema: &Schema,
        written: &LabelledRows,
    ) -> Result<CheckedSelect, QueryError> {
        let (table, columns) = (written.table.clone(), written.columns.clone());
        let entity = ForClause { table, columns, selection: Selection::Each };
        let (entity, _) = bind_entity(&entity, schema)?;
        let options = Options::from_statement(&written.options)?;
        Reader { context, schema, entity, sql: &written.sql, at: Some(written.at) }
            .read(options)
            .await
    }

    /// The same SELECT checked anew: what it yields today decides again what it means.
    ///
    /// # Errors
    /// As [`LabelSelect::check`].
    pub async fn check_again(
        &self,
        context: &SessionContext,
        schema: &Schema,
    ) -> Result<CheckedSelect, QueryError> {
        let entity = self.entity(schema)?;
        Reader { context, schema, entity, sql: &self.sql, at: None }
            .read(self.options.clone())
            .await
    }
}

/// Reads what a SELECT yields.
struct Reader<'a> {
    context: &'a SessionContext,
    schema: &'a Schema,
    entity: TableId,
    sql: &'a str,
    at: Option<Place>,
}

/// The columns of a SELECT by what they are for, as SQL over its rows `r` and entities `e`.
struct Found {
    cutoff: String,
    /// That a row's key is that of an entity.
    on: String,
    label: String,
    label_type: ValueType,
    weight: Option<String>,
}

impl Reader<'_> {
    async fn read(&self, options: Options) -> Result<CheckedSelect, QueryError> {
        let horizon = self.check_options(&options)?;
        let fields = self.fields().await?;
        let found = self.find(&fields)?;
        let on_error = options.on_error;
        let mut counts = self.count(&found, on_error).await?;
        let task_type = match found.label_type {
            ValueType::Boolean => TaskType::Binary,
            ValueType::Text => TaskType::Multiclass,
            // Numbers that are all 0 or 1 say no and yes.
            _ if counts.beyond_0_and_1 == 0 => TaskType::Binary,
            _ => TaskType::Regression,
        };
        let table = self.schema.table(self.entity);
        let rows = self.rows_sql(&found, task_type, on_error);
        let mut select = LabelSelect {
            table: table.name.clone(),
            columns: table.primary_key.clone(),
            sql: self.sql.to_owned(),
            options,
            horizon,
            task_type,
            rows,
            weighted: found.weight.is_some(),
        };
        match on_error {
            OnError::Abort => self.refuse_repeated(&select).await?,
            OnError::Skip => {
                counts.repeated = self.count_repeated(&select).await?;
                select.rows = self.once_sql(&select);
            }
        }
        let notes = counts.note(&select.table).into_iter().chain(self.unused(&fields));
        Ok(CheckedSelect { notes: notes.collect(), select })
    }

    fn check_options(&self, options: &Options) -> Result<Horizon, QueryError> {
        if options.cutoff_step.is_some() {
            return Err(QueryError::Option {
                at: self.at,
                message: "option \"cutoff_step\" does nothing here: the rows bring their cutoffs"
                    .to_owned(),
                hint: Some("leave it out".to_owned()),
            });
        }
        options.horizon.ok_or_else(|| QueryError::Option {
            at: self.at,
            message: "labels from a SELECT need the option \"horizon\"".to_owned(),
            hint: Some(
                "add WITH (horizon = '30 days'): how long after its cutoff a label is known"
                    .to_owned(),
            ),
        })
    }

    /// The columns that the SELECT yields; nothing runs.
    async fn fields(&self) -> Result<Vec<Field>, QueryError> {
        let doing = "planning the SELECT of the labels";
        let session =
            with_timestamps(self.context, TIMESTAMPS, &[]).await.map_err(QueryError::run(doing))?;
        let sql = format!("SELECT * FROM (\n{}\n) AS r", self.sql);
        let frame = session.sql(&sql).await.map_err(QueryError::run(doing))?;
        Ok(frame.schema().fields().iter().map(|f| f.as_ref().clone()).collect())
    }

    fn find(&self, fields: &[Field]) -> Result<Found, QueryError> {
        let table = self.schema.table(self.entity);
        let mut on = Vec::new();
        for key in &table.primary_key {
            if [CUTOFF, LABEL, WEIGHT].contains(&key.as_str()) {
                return Err(QueryError::Split {
                    message: format!(
                        "the key column \"{key}\" has the name of a result column; give it another name in the source"
                    ),
                });
            }
            let field = self.column(fields, key)?;
            let Some(column) = table.find_column(key) else { continue };
            let (left, right) =
                (format!("r.{}", quoted(field.name())), format!("e.{}", quoted(key)));
            let left_type = comparable(field.data_type());
            on.push(key_equality((&left, &left_type), (&right, &column.data_type)));
        }
        let label = self.column(fields, LABEL)?;
        let label_type = ValueType::of(label.data_type());
        if !matches!(label_type, ValueType::Boolean | ValueType::Number | ValueType::Text) {
            return Err(labels(
                self.at,
                format!("yields {} as label, which cannot be predicted", label_type.text()),
                Some("yield a boolean, a number or a text".to_owned()),
            ));
        }
        Ok(Found {
            cutoff: self.cutoff(self.column(fields, CUTOFF)?)?,
            on: on.join(" AND "),
            label: format!("r.{}", quoted(label.name())),
            label_type,
            weight: self.weight(fields)?,
        })
    }

    fn cutoff(&self, field: &Field) -> Result<String, QueryError> {
        let column = format!("r.{}", quoted(field.name()));
        let micros = |value: &str| format!("arrow_cast({value}, 'Timestamp(Microsecond, None)')");
        match field.data_type() {
            // Through UTC, so that a zone can never shift the instant.
            DataType::Timestamp(_, Some(_)) => Ok(micros(&format!(
                "arrow_cast({column}, 'Timestamp(Microsecond, Some(\"+00:00\"))')"
            ))),
            t if ValueType::of(t) == ValueType::Time => Ok(micros(&column)),
            other => Err(labels(
                self.at,
                format!("yields {} as cutoff", ValueType::of(other).text()),
                Some("yield a time; CAST(… AS TIMESTAMP) reads one from a text".to_owned()),
            )),
        }
    }

    fn weight(&self, fields: &[Field]) -> Result<Option<String>, QueryError> {
        if !fields.iter().any(|f| f.name().eq_ignore_ascii_case(WEIGHT)) {
            return Ok(None);
        }
        let field = self.column(fields, WEIGHT)?;
        match ValueType::of(field.data_type()) {
            ValueType::Number => Ok(Some(format!("CAST(r.{} AS DOUBLE)", quoted(field.name())))),
            other => Err(labels(
                self.at,
                format!("yields {} as weight", other.text()),
                Some("yield a number, 0 or more".to_owned()),
            )),
        }
    }

    /// The column of this name, exactly or else in any case.
    fn column<'f>(&self, fields: &'f [Field], name: &str) -> Result<&'f Field, QueryError> {
        if let Some(field) = fields.iter().find(|f| f.name() == name) {
            return Ok(field);
        }
        let same: Vec<&Field> =
            fields.iter().filter(|f| f.name().eq_ignore_ascii_case(name)).collect();
        let yields = || fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
        match same.as_slice() {
            [field] => Ok(field),
            [] => Err(labels(
                self.at,
                format!("yields no column \"{name}\""),
                did_you_mean(name, yields())
                    .or_else(|| Some(format!("it yields {}", yields().join(", ")))),
            )),
            _ => Err(labels(
                self.at,
                format!("yields several columns \"{name}\" that differ in case alone"),
                Some("keep one of them".to_owned()),
            )),
        }
    }

    /// The columns that are none of those looked for, as one sentence.
    fn unused(&self, fields: &[Field]) -> Option<String> {
        let key = &self.schema.table(self.entity).primary_key;
        let mut known = [CUTOFF, LABEL, WEIGHT].to_vec();
        known.extend(key.iter().map(String::as_str));
        let unused = fields.iter().map(|f| f.name().as_str());
        let unused: Vec<&str> =
            unused.filter(|name| !known.iter().any(|k| k.eq_ignore_ascii_case(name))).collect();
        let first = unused.first()?;
        let hint = did_you_mean(first, [WEIGHT]).map(|h| format!("; {h}")).unwrap_or_default();
        Some(format!("columns of the SELECT that are not used: {}{hint}", unused.join(", ")))
    }

    fn joined_sql(&self, found: &Found, join: &str) -> String {
        format!(
            "FROM (\n{}\n) AS r {join} JOIN {} AS e ON {}",
            self.sql,
            quoted(&self.schema.table(self.entity).name),
            found.on
        )
    }

    fn rows_sql(&self, found: &Found, task_type: TaskType, on_error: OnError) -> String {
        let Found { cutoff, label, .. } = found;
        let value = match (task_type, found.label_type) {
            (TaskType::Binary, ValueType::Boolean) => label.clone(),
            (TaskType::Binary, _) => format!("({label} = 1)"),
            (TaskType::Multiclass, _) => format!("arrow_cast({label}, 'Utf8')"),
            _ => format!("CAST({label} AS DOUBLE)"),
        };
        let key = self.schema.table(self.entity).primary_key.iter();
        let key: Vec<String> = key.map(|k| format!("e.{0} AS {0}", quoted(k))).collect();
        let weight = found.weight.as_ref().map(|w| format!(", {w} AS \"weight\""));
        let weighs = found.weight.as_ref().filter(|_| on_error == OnError::Skip);
        let weighs = weighs.map(|w| format!(" AND NOT {}", no_weight_sql(w)));
        format!(
            "SELECT {cutoff} AS \"cutoff\", {}, {value} AS \"label\"{}\n{}\nWHERE {cutoff} IS NOT NULL AND {label} IS NOT NULL{}",
            key.join(", "),
            weight.unwrap_or_default(),
            self.joined_sql(found, "INNER"),
            weighs.unwrap_or_default()
        )
    }

    /// The label rows with how many share their cutoff and key as `relcast_count`.
    fn counted_sql(&self, select: &LabelSelect) -> String {
        let names = cutoff_and(&self.schema.table(self.entity).primary_key);
        format!(
            "SELECT l.*, COUNT(*) OVER (PARTITION BY {}) AS \"relcast_count\" FROM (\n{}\n) AS l",
            listed("l", &names),
            select.rows
        )
    }

    /// The label rows without those that share a cutoff and key.
    fn once_sql(&self, select: &LabelSelect) -> String {
        let mut columns = cutoff_and(&self.schema.table(self.entity).primary_key);
        columns.push(LABEL.to_owned());
        columns.extend(select.weighted.then(|| WEIGHT.to_owned()));
        format!(
            "SELECT {} FROM (\n{}\n) AS c WHERE c.\"relcast_count\" = 1",
            listed("c", &columns),
            self.counted_sql(select)
        )
    }

    async fn count_repeated(&self, select: &LabelSelect) -> Result<u64, QueryError> {
        let sql = format!(
            "SELECT COUNT(*) AS a FROM (\n{}\n) AS c WHERE c.\"relcast_count\" > 1",
            self.counted_sql(select)
        );
        let row = self.run(&sql, "counting label rows that share a cutoff and key").await?;
        Ok(number(&row, 0))
    }

    /// Counts what the rows lack; refuses a SELECT without a label row, and weights that are none
    /// unless such rows are to be left out.
    async fn count(&self, found: &Found, on_error: OnError) -> Result<Counts, QueryError> {
        let Found { cutoff, label, .. } = found;
        let key = &self.schema.table(self.entity).primary_key;
        let entity = key.first().map_or_else(|| "TRUE".to_owned(), |k| format!("e.{}", quoted(k)));
        let complete =
            format!("{cutoff} IS NOT NULL AND {label} IS NOT NULL AND {entity} IS NOT NULL");
        let count = |condition: &str| format!("COUNT(CASE WHEN {condition} THEN 1 END)");
        let numbers = found.label_type == ValueType::Number;
        let other_numbers = if numbers { format!("{label} NOT IN (0, 1)") } else { "FALSE".into() };
        let no_weight = found.weight.as_ref().map_or("FALSE".to_owned(), |w| no_weight_sql(w));
        let sql = format!(
            "SELECT {} AS a, {} AS b, {} AS c, {} AS d, {} AS e, {} AS f {}",
            count(&complete),
            count(&format!("{cutoff} IS NULL")),
            count(&format!("{cutoff} IS NOT NULL AND {label} IS NULL")),
            count(&format!("{cutoff} IS NOT NULL AND {label} IS NOT NULL AND {entity} IS NULL")),
            count(&format!("{complete} AND {other_numbers}")),
            count(&format!("{complete} AND {no_weight}")),
            self.joined_sql(found, "LEFT")
        );
        let row = self.run(&sql, "counting the rows of the SELECT").await?;
        let counts = Counts {
            complete: number(&row, 0),
            no_cutoff: number(&row, 1),
            no_label: number(&row, 2),
            no_entity: number(&row, 3),
            beyond_0_and_1: number(&row, 4),
            no_weight: number(&row, 5),
            repeated: 0,
        };
        if counts.complete == 0 {
            let note = counts.note(&self.schema.table(self.entity).name);
            return Err(labels(
                self.at,
                "yields no label row",
                Some(note.unwrap_or_else(|| "it yields no rows at all".to_owned())),
            ));
        }
        match counts.no_weight {
            wrong if wrong > 0 && on_error == OnError::Abort => Err(labels(
                self.at,
                format!("yields {wrong} weights that are NULL, negative, infinite or not a number"),
                Some(
                    "yield 0 for a row that should not be learnt from, or leave such rows out with on_error = 'skip'"
                        .to_owned(),
                ),
            )),
            _ => Ok(counts),
        }
    }

    /// Refuses rows that share a cutoff and key: which label counts would be left to chance.
    async fn refuse_repeated(&self, select: &LabelSelect) -> Result<(), QueryError> {
        let key = &self.schema.table(self.entity).primary_key;
        let names = cutoff_and(key);
        let columns = listed("l", &names);
        let sql = format!(
            "SELECT {columns}, COUNT(*) AS \"relcast_count\" FROM (\n{}\n) AS l GROUP BY {columns} HAVING COUNT(*) > 1 ORDER BY {columns} LIMIT 1",
            select.rows
        );
        let doing = "looking for label rows that share a cutoff and key";
        let rows = self.run(&sql, doing).await?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let values = cells(&rows).map_err(|e| QueryError::run(doing)(e.into()))?;
        let count = values.last().map_or("several", String::as_str);
        let named = names.iter().zip(&values).map(|(name, value)| format!("{name} = {value}"));
        let named: Vec<String> = named.collect();
        Err(labels(
            self.at,
            format!("yields {count} rows of one cutoff and key: {}", named.join(", ")),
            Some(
                "yield one row for each, with GROUP BY or DISTINCT, or leave all of them out with on_error = 'skip'"
                    .to_owned(),
            ),
        ))
    }

    async fn run(&self, sql: &str, doing: &str) -> Result<RecordBatch, QueryError> {
        let session =
            with_timestamps(self.context, TIMESTAMPS, &[]).await.map_err(QueryError::run(doing))?;
        collect(&session, sql).await.map_err(QueryError::run(doing))
    }
}

/// The type by which keys are compared: views of texts are texts.
fn comparable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

/// How many rows there are, and how many lack what.
struct Counts {
    complete: u64,
    no_cutoff: u64,
    no_label: u64,
    no_entity: u64,
    beyond_0_and_1: u64,
    no_weight: u64,
    repeated: u64,
}

impl Counts {
    /// Which rows are left out, and why; nothing where none is.
    fn note(&self, table: &str) -> Option<String> {
        let parts = [
            (self.no_cutoff, "without a cutoff".to_owned()),
            (self.no_label, "without a label".to_owned()),
            (self.no_entity, format!("with a key that table \"{table}\" does not have")),
            (
                self.no_weight,
                "with a weight that is NULL, negative, infinite or no number".to_owned(),
            ),
            (self.repeated, "that share their cutoff and key with another".to_owned()),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!told.is_empty()).then(|| format!("label rows that are left out: {}", told.join(", ")))
    }
}

/// Whether a weight is none: NULL, negative, infinite or not a number.
fn no_weight_sql(weight: &str) -> String {
    format!("({weight} IS NULL OR {weight} < 0 OR {weight} > 1.7976931348623157E308)")
}

fn number(row: &RecordBatch, column: usize) -> u64 {
    let column = row.columns().get(column).and_then(|c| c.as_primitive_opt::<Int64Type>());
    column.map_or(0, |c| c.iter().flatten().sum::<i64>().unsigned_abs())
}

/// The cells of the first row as text.
fn cells(rows: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let options = FormatOptions::default();
    let text = |column: &ArrayRef| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        Ok(formatter.value(0).to_string())
    };
    rows.columns().iter().map(text).collect()
}
