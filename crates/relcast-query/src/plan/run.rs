//! Running a label plan: cutoffs, label rows, entities.

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use relcast_catalog::{Schema, format_time, quoted};
use xxhash_rust::xxh3::xxh3_64;

use super::cutoffs::{Cutoffs, Extent, Split, at_own_times, at_rows, lay_out};
use super::entities::extent_sql;
use super::label_plan::{LabelPlan, When};
use super::named::NamedRows;
use super::session::{collect, with_timestamps};
use super::strays::{Bin, Found, STRAY_GAP, Strays, bins_sql, without_strays};
use crate::error::QueryError;
use crate::options::OnError;

impl LabelPlan {
    /// Where the cutoffs of each split lie, by the options, the source's declaration and the times
    /// in the data. Nothing after AS OF is read where the query names one.
    ///
    /// # Errors
    /// [`QueryError::Split`] when a split would be empty or splits would overlap.
    pub async fn cutoffs(
        &self,
        context: &SessionContext,
        schema: &Schema,
    ) -> Result<Cutoffs, QueryError> {
        let declared = (schema.val_timestamp, schema.test_timestamp);
        match &self.when {
            When::InWindows { read, whole } => {
                let extent = self.extent(context, read).await?;
                let extent = extent.ok_or_else(|| no_times(read, self.as_of))?;
                let begin = self.extent(context, whole).await?;
                let first_window = self.horizon.before(extent.first);
                let train_from = begin.map_or(extent.first, |b| b.first.max(first_window));
                let extent = Extent { train_from, ..extent };
                lay_out(extent, self.horizon, &self.options, declared)
            }
            When::ByTask { read, whole } => {
                let extent = self.extent(context, whole).await?;
                let extent = extent.ok_or_else(|| no_times(whole, self.as_of))?;
                let laid = lay_out(extent, self.horizon, &self.options, declared)?;
                let read = self.extent(context, read).await?;
                let data_end = read.map_or(laid.data_end, |read| read.last);
                Ok(Cutoffs { data_end, ..laid })
            }
            When::AtRows { cutoffs, read } => {
                let times = self.row_cutoffs(context, cutoffs).await?;
                let extent = self.extent(context, read).await?;
                at_rows(&times, extent.map(|e| e.last), self.horizon, &self.options, declared)
            }
            When::AtOwnTime { times } => {
                let sql = format!(
                    "SELECT DISTINCT r.\"time\" FROM ({times}) AS r WHERE r.\"time\" IS NOT NULL ORDER BY r.\"time\""
                );
                let rows =
                    self.run(context, &[], &sql, "reading the times of the entities").await?;
                let mut times = times_of(&rows, 0);
                times.retain(|t| self.as_of.is_none_or(|as_of| *t <= as_of));
                at_own_times(&times, &self.options, declared)
            }
            When::Once { read } => {
                let extent = self.extent(context, read).await?;
                let once = self.as_of.or(extent.map(|e| e.last)).unwrap_or(0);
                Ok(Cutoffs {
                    train: vec![once],
                    val: vec![once],
                    test: vec![once],
                    horizon: self.horizon,
                    step: self.horizon,
                    data_end: once,
                    val_timestamp: once,
                    test_timestamp: once,
                })
            }
        }
    }

    /// The newest time in what the target reads, or the newest up to `until`: microseconds, UTC; none
    /// if there are no such times. Strays are set aside. AS OF defaults to it.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn newest_time(
        &self,
        context: &SessionContext,
        until: Option<i64>,
    ) -> Result<Option<i64>, QueryError> {
        let times = match &self.when {
            When::ByTask { read, .. } => read.as_slice(),
            _ => self.laid_between(),
        };
        Ok(self.found(context, times, until).await?.map(|found| found.last))
    }

    /// The time by which the windows of the splits must have closed, up to `until`: `newest`, but of
    /// a task in SQL the newest time of all tables, whichever it reads.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn windows_end(
        &self,
        context: &SessionContext,
        until: Option<i64>,
        newest: i64,
    ) -> Result<i64, QueryError> {
        let When::ByTask { whole, .. } = &self.when else { return Ok(newest) };
        Ok(self.found(context, whole, until).await?.map_or(newest, |found| found.last))
    }

    /// The few times, far from all others, that cutoffs are laid out without. Where cells are filled
    /// in, every row has its own.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn strays(&self, context: &SessionContext) -> Result<Strays, QueryError> {
        if matches!(self.when, When::AtOwnTime { .. }) {
            return Ok(Strays::default());
        }
        let found = self.found(context, self.laid_between(), self.as_of).await?;
        Ok(found.map(|found| found.strays).unwrap_or_default())
    }

    /// The SELECTs of the times that cutoffs are laid out between.
    fn laid_between(&self) -> &[String] {
        match &self.when {
            When::InWindows { read, .. } | When::AtRows { read, .. } | When::Once { read } => {
                read.as_slice()
            }
            When::ByTask { whole, .. } => whole.as_slice(),
            When::AtOwnTime { times } => std::slice::from_ref(times),
        }
    }

    /// The label rows at these cutoffs (microseconds, UTC; any order): cutoff, key columns, label.
    ///
    /// Rows are in the order of cutoff and key; rows whose label is NULL are left out. Where cells
    /// are filled in, a row stands at its own time.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn label_rows(
        &self,
        context: &SessionContext,
        cutoffs: &[i64],
    ) -> Result<RecordBatch, QueryError> {
        Ok(self.weighted_rows(context, cutoffs).await?.0)
    }

    /// The same with the training weight of each row, where a SELECT brings weights.
    ///
    /// # Errors
    /// As [`LabelPlan::label_rows`].
    pub async fn weighted_rows(
        &self,
        context: &SessionContext,
        cutoffs: &[i64],
    ) -> Result<(RecordBatch, Option<Vec<f64>>), QueryError> {
        let doing = "computing the labels";
        let rows = self.run(context, cutoffs, &self.labels, doing).await?;
        let Some((last, kept)) = rows.columns().split_last().filter(|_| self.weighted) else {
            return Ok((rows, None));
        };
        let weights = last.as_primitive_opt::<Float64Type>().map(|w| w.values().to_vec());
        let kept: Vec<usize> = (0..kept.len()).collect();
        let rows = rows.project(&kept).map_err(|e| QueryError::run(doing)(e.into()))?;
        Ok((rows, weights))
    }

    /// The cutoffs beyond those of training and validation whose labels had closed by `until`,
    /// ascending: those that label rows bring, or else a horizon apart.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn later_cutoffs(
        &self,
        context: &SessionContext,
        cutoffs: &Cutoffs,
        until: i64,
    ) -> Result<Vec<i64>, QueryError> {
        let mut later = match &self.when {
            When::AtRows { cutoffs: sql, .. } => {
                let mut all = self.row_cutoffs(context, sql).await?;
                let trained = cutoffs.train.last().copied().unwrap_or(i64::MIN);
                all.retain(|c| *c > trained && cutoffs.horizon.after(*c) <= until);
                all
            }
            _ => cutoffs.closed_from_validation(until),
        };
        later.retain(|cutoff| !cutoffs.val.contains(cutoff));
        Ok(later)
    }

    /// The cutoffs of label rows that bring them, ascending.
    async fn row_cutoffs(
        &self,
        context: &SessionContext,
        sql: &str,
    ) -> Result<Vec<i64>, QueryError> {
        let rows = self.run(context, &[], sql, "reading the cutoffs of the labels").await?;
        Ok(times_of(&rows, 0))
    }

    /// The label rows at these cutoffs as they are known when their windows close: a cell that
    /// becomes known only later is NULL in them. Those of a task in SQL are its label rows; which
    /// cells it reads cannot be told.
    ///
    /// # Errors
    /// As [`LabelPlan::label_rows`].
    pub async fn closed_rows(
        &self,
        context: &SessionContext,
        cutoffs: &[i64],
    ) -> Result<RecordBatch, QueryError> {
        let sql = self.closed.as_ref().unwrap_or(&self.labels);
        self.run(context, cutoffs, sql, "computing the labels that have closed").await
    }

    /// Whether a label may be known only after its window has closed.
    #[must_use]
    pub fn closes_late(&self) -> bool {
        self.closed.is_some()
    }

    /// The rows that the target reads, each with the label it would give alone in the window: key
    /// columns, `time`, `value` (text for classes), in no order; none where the target is not a
    /// function of one aggregate's rows.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn row_values(
        &self,
        context: &SessionContext,
    ) -> Result<Option<RecordBatch>, QueryError> {
        let Some(sql) = &self.row_values else { return Ok(None) };
        self.run(context, &[], sql, "reading the rows of the target").await.map(Some)
    }

    /// The label rows of one split.
    ///
    /// # Errors
    /// As [`LabelPlan::label_rows`].
    pub async fn split_rows(
        &self,
        context: &SessionContext,
        cutoffs: &Cutoffs,
        split: Split,
    ) -> Result<RecordBatch, QueryError> {
        let rows = self.label_rows(context, cutoffs.of(split)).await?;
        match self.when {
            When::Once { .. } => self.hashed_split(&rows, split),
            When::InWindows { .. }
            | When::ByTask { .. }
            | When::AtRows { .. }
            | When::AtOwnTime { .. } => Ok(rows),
        }
    }

    /// The keys of the entities that exist at `cutoff` and pass FOR and WHERE, in their order.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn entities(
        &self,
        context: &SessionContext,
        cutoff: i64,
    ) -> Result<RecordBatch, QueryError> {
        let named = self.named_rows(context).await?;
        let keys = self.key_list("r");
        let mut from = format!("({}) AS r", self.eligible);
        if let Some(named) = named {
            let mut on = self.equal_keys("v", "r");
            if named.has_cutoffs {
                on.push_str(&format!(
                    " AND v.\"relcast_cutoff\" = r.{}",
                    quoted(&self.cutoff_column)
                ));
            }
            from.push_str(&format!(" LEFT SEMI JOIN {} ON {on}", named.sql));
        }
        let sql = format!("SELECT {keys} FROM {from} ORDER BY {keys}");
        self.run(context, &[cutoff], &sql, "finding the entities").await
    }

    /// The keys of the entities that exist at `cutoff`, whether or not they pass WHERE, in no order.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn existing(
        &self,
        context: &SessionContext,
        cutoff: i64,
    ) -> Result<RecordBatch, QueryError> {
        let sql = format!("SELECT {} FROM ({}) AS r", self.key_list("r"), self.existing);
        self.run(context, &[cutoff], &sql, "finding the entities that exist").await
    }

    /// What PREDICT scores: cutoff, key columns, whether they pass WHERE and whether they exist at
    /// the cutoff, in the order of cutoff and key.
    ///
    /// FOR EACH gives the entities that pass; keys that FOR names are all given. `cutoff` is not
    /// used where the rows of FOR … IN (SELECT …) bring their own.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails, [`QueryError::Named`] if rows of FOR … IN (SELECT …)
    /// cannot be read and are not to be left out.
    pub async fn seeds(
        &self,
        context: &SessionContext,
        cutoff: i64,
    ) -> Result<RecordBatch, QueryError> {
        let doing = "finding the entities to predict for";
        let cutoff_column = quoted(&self.cutoff_column);
        let order = format!("r.{cutoff_column}, {}", self.key_list("r"));
        let Some(named) = self.named_rows(context).await? else {
            let sql = format!(
                "SELECT {order}, TRUE AS \"relcast_eligible\", TRUE AS \"relcast_known\" FROM ({}) AS r ORDER BY {order}",
                self.eligible
            );
            return self.run(context, &[cutoff], &sql, doing).await;
        };
        let mut cutoffs = vec![cutoff];
        let mut rows = format!(
            "SELECT DISTINCT t.\"timestamp\" AS {cutoff_column}, {} FROM {} AS t CROSS JOIN {}",
            self.key_list("v"),
            quoted(&self.timestamps),
            named.sql
        );
        if named.has_cutoffs {
            let distinct = format!("SELECT DISTINCT v.\"relcast_cutoff\" FROM {}", named.sql);
            cutoffs = times_of(&self.run(context, &[], &distinct, doing).await?, 0);
            rows = format!(
                "SELECT DISTINCT v.\"relcast_cutoff\" AS {cutoff_column}, {} FROM {}",
                self.key_list("v"),
                named.sql
            );
        }
        let on = |alias: &str| {
            format!(
                "{alias}.{cutoff_column} = r.{cutoff_column} AND {}",
                self.equal_keys(alias, "r")
            )
        };
        let sql = format!(
            "SELECT {order}, l.{cutoff_column} IS NOT NULL AS \"relcast_eligible\", x.{cutoff_column} IS NOT NULL AS \"relcast_known\" FROM ({rows}) AS r LEFT JOIN ({}) AS l ON {} LEFT JOIN ({}) AS x ON {} ORDER BY {order}",
            self.eligible,
            on("l"),
            self.existing,
            on("x")
        );
        self.run(context, &cutoffs, &sql, doing).await
    }

    /// Which rows of FOR … IN (SELECT …) cannot be read, in so many words; nothing where all can.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn unreadable(&self, context: &SessionContext) -> Result<Option<String>, QueryError> {
        match self.named.rows(context, |key| self.key_type(key)).await? {
            Some(NamedRows { unreadable: Some(sql), .. }) => {
                self.count_unreadable(context, &sql).await
            }
            _ => Ok(None),
        }
    }

    /// The rows that FOR names. Those that cannot be read are an error unless they are to be left out.
    async fn named_rows(&self, context: &SessionContext) -> Result<Option<NamedRows>, QueryError> {
        let named = self.named.rows(context, |key| self.key_type(key)).await?;
        let sql = named.as_ref().and_then(|named| named.unreadable.as_ref());
        let sql = sql.filter(|_| self.options.on_error == OnError::Abort);
        if let Some(sql) = sql
            && let Some(found) = self.count_unreadable(context, sql).await?
        {
            return Err(QueryError::Named {
                message: format!("yields {found}"),
                hint: Some("leave them out with WHERE, or by WITH (on_error = 'skip')".to_owned()),
            });
        }
        Ok(named)
    }

    async fn count_unreadable(
        &self,
        context: &SessionContext,
        sql: &str,
    ) -> Result<Option<String>, QueryError> {
        let row =
            self.run(context, &[], sql, "reading the entities of FOR … IN (SELECT …)").await?;
        let what = ["with a key that is none", "without a cutoff", "with a cutoff that is no time"];
        let told = row.columns().iter().zip(what).filter_map(|(count, what)| {
            let count = count.as_primitive_opt::<Int64Type>()?.iter().flatten().sum::<i64>();
            let rows = if count == 1 { "row" } else { "rows" };
            (count > 0).then(|| format!("{count} {rows} {what}"))
        });
        let told = told.collect::<Vec<_>>();
        Ok((!told.is_empty()).then(|| told.join(", ")))
    }

    /// The type of a column of the entity's key.
    fn key_type(&self, key: &str) -> Option<DataType> {
        let place = self.entity_columns.iter().position(|column| column == key)?;
        self.key_types.get(place)?.parse().ok()
    }

    /// Runs SQL over the cutoffs and the tables of `context`.
    pub(super) async fn run(
        &self,
        context: &SessionContext,
        cutoffs: &[i64],
        sql: &str,
        doing: &str,
    ) -> Result<RecordBatch, QueryError> {
        let session = with_timestamps(context, &self.timestamps, cutoffs)
            .await
            .map_err(QueryError::run(doing))?;
        tracing::debug!(cutoffs = cutoffs.len(), sql, "{doing}");
        collect(&session, sql).await.map_err(QueryError::run(doing))
    }

    /// The first and last time of the data up to AS OF, as if nothing came after it.
    async fn extent(
        &self,
        context: &SessionContext,
        times: &[String],
    ) -> Result<Option<Extent>, QueryError> {
        let found = self.found(context, times, self.as_of).await?;
        Ok(found.map(|Found { first, last, .. }| Extent { train_from: first, first, last }))
    }

    /// The first and last of these times up to `until`, without strays.
    async fn found(
        &self,
        context: &SessionContext,
        times: &[String],
        until: Option<i64>,
    ) -> Result<Option<Found>, QueryError> {
        let Some(sql) = extent_sql(times, until) else { return Ok(None) };
        let row =
            self.run(context, &[], &sql, "reading the first and last time of the data").await?;
        let (Some(first), Some(last)) =
            (times_of(&row, 0).first().copied(), times_of(&row, 1).first().copied())
        else {
            return Ok(None);
        };
        if last.saturating_sub(first) <= STRAY_GAP {
            return Ok(Some(Found { first, last, strays: Strays::default() }));
        }
        let sql = bins_sql(times, until);
        let rows = self.run(context, &[], &sql, "looking for times far from all others").await?;
        Ok(without_strays(&bins_of(&rows)))
    }

    fn key_list(&self, alias: &str) -> String {
        let columns = self.entity_columns.iter().map(|c| format!("{alias}.{}", quoted(c)));
        columns.collect::<Vec<_>>().join(", ")
    }

    fn equal_keys(&self, left: &str, right: &str) -> String {
        let pairs =
            self.entity_columns.iter().map(|c| format!("{left}.{0} = {right}.{0}", quoted(c)));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// The rows whose key's hash falls into the split: eight tenths, one tenth, one tenth.
    fn hashed_split(&self, rows: &RecordBatch, split: Split) -> Result<RecordBatch, QueryError> {
        let doing = QueryError::run("splitting the rows by their keys");
        let options = FormatOptions::default();
        let keys = rows.columns().iter().skip(1).take(self.entity_columns.len());
        let keys = keys
            .map(|c| ArrayFormatter::try_new(c, &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| doing(e.into()))?;
        let in_split = (0..rows.num_rows()).map(|row| {
            let text =
                keys.iter().map(|k| k.value(row).to_string()).collect::<Vec<_>>().join("\u{1f}");
            let found = match xxh3_64(text.as_bytes()) % 10 {
                8 => Split::Val,
                9 => Split::Test,
                _ => Split::Train,
            };
            found == split
        });
        let kept = BooleanArray::from(in_split.collect::<Vec<bool>>());
        filter_record_batch(rows, &kept).map_err(|e| doing(e.into()))
    }
}

/// Why there is nothing between which cutoffs could be laid out.
fn no_times(times: &[String], as_of: Option<i64>) -> QueryError {
    let message = match (times.is_empty(), as_of) {
        (true, _) => {
            "no table that the target reads has times: neither a time column nor links to a table with one; declare time_column in relcast.yaml"
                .to_owned()
        }
        (false, Some(as_of)) => format!(
            "no row that the target reads is known by AS OF {}; name a later moment",
            format_time(as_of)
        ),
        (false, None) => {
            "no row that the target reads has a time: its tables have no rows, their times are NULL, or no row of one is linked to a row of the next; `inspect` counts rows, NULLs and links"
                .to_owned()
        }
    };
    QueryError::Split { message }
}

/// The rows of [`bins_sql`].
fn bins_of(rows: &RecordBatch) -> Vec<Bin> {
    let numbers = |column: usize| -> Vec<i64> {
        let column = rows.columns().get(column);
        let numbers = column.and_then(|c| c.as_primitive_opt::<Int64Type>());
        numbers.map(|n| n.values().to_vec()).unwrap_or_default()
    };
    let ends = times_of(rows, 1).into_iter().zip(times_of(rows, 2));
    let bins = numbers(0).into_iter().zip(ends).zip(numbers(3));
    bins.map(|((part, (first, last)), count)| Bin { part, first, last, count }).collect()
}

/// The times of a column, microseconds, UTC, without NULLs.
fn times_of(rows: &RecordBatch, column: usize) -> Vec<i64> {
    let column = rows.columns().get(column);
    let times = column.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    times.map(|t| t.iter().flatten().collect()).unwrap_or_default()
}
