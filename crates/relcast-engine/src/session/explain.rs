//! EXPLAIN: the plan of a prediction and what it would cost, or what it did cost; the schema graph.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use relcast_catalog::inspect::LinkReport;
use relcast_catalog::{
    Schema, SemanticType, TableId, check_keys, format_time, inspect, source_column,
};
use relcast_query::ast::PredictiveQuery;
use relcast_query::statement::{CreateModel, Labels};
use relcast_query::{DateKnown, LabelPlan, Split, SplitExplanation, bind};
use relcast_train::model::{MEMBERS, sample_plan};

use super::prediction::Prediction;
use super::quick::quick_set;
use super::resolve::{Asked, Resolved};
use super::{Answer, Session};
use crate::error::EngineError;
use crate::stored::StoredModel;
use crate::work::{fit_options, refuse_untrained};

/// Multiply-adds a second that a core is reckoned to do, from the products that networks are made of.
const PACE: f64 = 1e10;

/// The labels that a model learns from.
struct Learnt {
    sql: String,
    splits: Vec<SplitRows>,
}

/// The label rows of one split.
struct SplitRows {
    split: Split,
    rows: u64,
    /// Ascending.
    cutoffs: Vec<String>,
}

impl Learnt {
    /// The labels that `model` learnt from, whatever the data are today.
    fn by(model: &StoredModel) -> Result<Self, EngineError> {
        let plan = model.question.plan(&model.schema, &model.set)?;
        let of_split = |split: Split| SplitRows {
            split,
            rows: model.rows.get(split.name()).copied().unwrap_or_default(),
            cutoffs: model.cutoffs.of(split).iter().map(|c| format_time(*c)).collect(),
        };
        let splits = Split::ALL.into_iter().map(of_split).collect();
        Ok(Self { sql: plan.sql().to_owned(), splits })
    }
}

impl Session {
    pub(super) async fn explain_labels(
        &self,
        query: &PredictiveQuery,
    ) -> Result<Answer, EngineError> {
        let plan = self.label_plan(query).await?;
        let schema = &self.engine.catalog.schema;
        check_keys(&self.engine.database.context, schema).await?;
        let told = plan.explain_labels(&self.engine.database.context, schema).await?;
        self.lines(&told.to_text())
    }

    pub(super) async fn explain_query(
        &self,
        query: &PredictiveQuery,
    ) -> Result<Answer, EngineError> {
        let mut resolved = Resolved::new(&self.engine, query).await?;
        let schema = &self.engine.catalog.schema;
        check_keys(&self.engine.database.context, schema).await?;
        let text = match &resolved.asked {
            Asked::Model(model) => {
                let by = format!(
                    "by model {} version {}, trained on data until {}",
                    model.name,
                    model.version,
                    format_time(model.cutoffs.data_end)
                );
                let learnt = Learnt::by(model)?;
                let default = self.engine.default_cutoff(model).await?;
                let asked_for = self.asked_for(&resolved.plan, &model.schema, default).await?;
                self.plan_text(&resolved.plan, &by, &asked_for, &learnt, &model.schema).await?
            }
            Asked::Quick(_) => {
                let options = &mut resolved.plan.options;
                for (name, value) in quick_set(options) {
                    options.set(&name, &value)?;
                }
                // It learns from all the data, whenever it is asked for.
                let mut everything = resolved.plan.clone();
                everything.as_of = None;
                let learnt = self.to_be_learnt(&everything).await?;
                let default = everything.default_cutoff(&self.engine.database.context).await?;
                let by = "by a quick model, trained for this query where there is none yet";
                // Without a time in what the target reads there are no labels either.
                let asked_for = match default {
                    Some(default) => {
                        self.asked_for(&resolved.plan, schema, default).await?.to_vec()
                    }
                    None => Vec::new(),
                };
                self.plan_text(&resolved.plan, by, &asked_for, &learnt, schema).await?
            }
        };
        self.lines(&text)
    }

    pub(super) async fn explain_create(&self, create: &CreateModel) -> Result<Answer, EngineError> {
        let schema = &self.engine.catalog.schema;
        let plan = match &create.labels {
            Labels::Query { query, .. } => self.label_plan(query).await?,
            select @ Labels::Select(_) => self.question(select).await?.plan(schema, &[])?,
        };
        check_keys(&self.engine.database.context, schema).await?;
        let learnt = self.to_be_learnt(&plan).await?;
        let by = format!("by model {}, to be trained", create.name.text);
        self.lines(&self.plan_text(&plan, &by, &[], &learnt, schema).await?)
    }

    pub(super) async fn explain_analyze(
        &self,
        query: &PredictiveQuery,
    ) -> Result<Answer, EngineError> {
        let resolved = Resolved::new(&self.engine, query).await?;
        let watcher = self.watcher.clone();
        let prediction = Arc::new(Prediction::new(&self.engine, watcher, resolved, false)?);
        let plan = LogicalPlanBuilder::scan("prediction", provider_as_source(prediction), None)?
            .explain(false, true)?
            .build()?;
        let rows = self.context.execute_logical_plan(plan).await?;
        Ok(Answer { tag: "EXPLAIN".to_owned(), rows: Some(rows) })
    }

    async fn label_plan(&self, query: &PredictiveQuery) -> Result<LabelPlan, EngineError> {
        if query.model.is_some() {
            return Ok(Resolved::new(&self.engine, query).await?.plan);
        }
        let schema = &self.engine.catalog.schema;
        let plan = LabelPlan::from_query(&bind(query, schema)?, schema)?;
        plan.refuse_ignored(&query.options)?;
        Ok(plan)
    }

    /// What a model of `plan` would learn from.
    async fn to_be_learnt(&self, plan: &LabelPlan) -> Result<Learnt, EngineError> {
        let schema = &self.engine.catalog.schema;
        let told = plan.explain_labels(&self.engine.database.context, schema).await?;
        let of_split = |split: SplitExplanation| SplitRows {
            split: split.split,
            rows: split.rows,
            cutoffs: split.cutoffs.into_iter().map(|c| c.cutoff).collect(),
        };
        Ok(Learnt { sql: told.sql, splits: told.splits.into_iter().map(of_split).collect() })
    }

    /// When `plan` predicts, at `default` where it does not say, and for how many.
    async fn asked_for(
        &self,
        plan: &LabelPlan,
        schema: &Schema,
        default: i64,
    ) -> Result<[String; 2], EngineError> {
        let context = &self.engine.database.context;
        let cutoff = plan.as_of.unwrap_or(default);
        let seeds = plan.seeds(context, cutoff).await?;
        let times = seeds.column(0).as_primitive::<TimestampMicrosecondType>().values();
        let first = times.iter().min().copied().unwrap_or(cutoff);
        let last = times.iter().max().copied().unwrap_or(cutoff);
        let (when, at) = match first == last {
            true => (format!("cutoff {}", format_time(last)), ""),
            false => {
                let range = format!("cutoffs {} .. {}", format_time(first), format_time(last));
                (range, " at the last")
            }
        };
        let (seen, all) = plan.seen(context, schema, &[last]).await?;
        let seen = seen.get(&last).copied().unwrap_or_default();
        let who = format!("entities: seen {seen} of {all}{at}, seeds {}", seeds.num_rows());
        Ok([when, who])
    }

    /// The plan of a model over `schema` with labels as `learnt`; `by` says who predicts, and
    /// `asked_for` when and for whom.
    async fn plan_text(
        &self,
        plan: &LabelPlan,
        by: &str,
        asked_for: &[String],
        learnt: &Learnt,
        schema: &Schema,
    ) -> Result<String, EngineError> {
        let counts = inspect(&self.engine.database, &self.engine.catalog).await?;
        let entity = schema.table(plan.entity);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |words: &str| {
            let _ = writeln!(text, "{words}");
        };
        line(&format!(
            "predict {} for each {}.{}, horizon {}",
            plan.task_type,
            entity.name,
            plan.entity_columns.join(", "),
            plan.horizon
        ));
        let untrained = refuse_untrained(&plan.task_type).is_err();
        match untrained {
            true => line(&format!("training: not yet ({})", plan.task_type)),
            false => line(by),
        }
        asked_for.iter().for_each(|words| line(words));
        if let Some([low, high]) = plan.options.band() {
            line(&format!(
                "bounds: quantiles {low} and {high}, from how far off the model is on validation"
            ));
        }
        if plan.options.date_known == DateKnown::EndOfDay {
            line("dates: known from the midnight that ends them");
        }
        line("labels");
        for SplitRows { split, rows, cutoffs } in &learnt.splits {
            let range = cutoffs.first().zip(cutoffs.last());
            let range =
                range.map_or_else(String::new, |(first, last)| format!(", {first} .. {last}"));
            line(&format!("  {}: {rows} rows at {} cutoffs{range}", split.name(), cutoffs.len()));
        }
        line(&format!("  sql: {}", learnt.sql.split_whitespace().collect::<Vec<_>>().join(" ")));
        let rows: u64 = counts.tables.iter().map(|t| t.rows).sum();
        let edges: u64 = counts.links.iter().map(|l| l.edges).sum();
        line(&format!(
            "graph: {} tables, {rows} rows, {} links, {edges} edges",
            counts.tables.len(),
            counts.links.len()
        ));
        line("encoders");
        let mut bytes = 0.0;
        for table in &schema.tables {
            let Some(report) = counts.tables.iter().find(|t| t.table == table.name) else {
                continue;
            };
            let mut kinds: Vec<String> = Vec::new();
            let mut width = 0.0;
            for column in &table.columns {
                let is_source = source_column(&column.name) == column.name;
                let filled_in = entity.name == table.name && plan.filled_in.contains(&column.name);
                if !is_source
                    || filled_in
                    || matches!(column.semantic, SemanticType::Key | SemanticType::Ignored)
                {
                    continue;
                }
                kinds.push(format!("{} {:?}", column.name, column.semantic).to_lowercase());
                width += encoded_bytes(column.semantic);
            }
            bytes += width * report.rows as f64;
            let kinds =
                if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
            line(&format!("  {} (known from: {}){kinds}", table.name, report.known_from));
        }
        let options = fit_options(&plan.options);
        let fanout = options.fanout();
        let sampled = sample_plan(schema, plan.entity, &fanout)?;
        line(&format!("sample, most recent first, fan-out {fanout:?}"));
        for step in sampled.to_string().lines() {
            line(&format!("  {step}"));
        }
        if untrained {
            return Ok(text);
        }
        let most = options.max_train_rows() as u64;
        let seeds = learnt.splits.first().map_or(0, |s| s.rows).min(most);
        line(&format!(
            "network: {} × heterogeneous SAGE, {} layers, {} channels; at most {} epochs of {} rows",
            MEMBERS,
            fanout.len(),
            options.channels(),
            options.epochs(),
            seeds
        ));
        if let Some(budget) = plan.options.budget {
            line(&format!("budget: {budget}, resolved to epochs and rows once training starts"));
        }
        let mut nodes = vec![1.0; sampled.blocks.len()];
        for (number, block) in sampled.blocks.iter().enumerate() {
            let (Some(parent), Some(edge)) = (block.parent, block.edge) else { continue };
            let link = &counts.links[edge.link.index()];
            let from = sampled.blocks[parent].table;
            let degree = link.edges as f64 / rows_of(&counts, from).max(1.0);
            nodes[number] = nodes[parent] * degree.min(block.fanout as f64);
        }
        let channels = options.channels() as f64;
        let per_seed = nodes.iter().sum::<f64>() * channels * (channels + 64.0) * 3.0;
        let work = per_seed * seeds as f64 * (options.epochs() * MEMBERS) as f64;
        line(&format!(
            "cost: about {:.0} rows a seed, {:.0} MB of encoded rows, {:.0} s to train on {} threads (an estimate from counts)",
            nodes.iter().sum::<f64>(),
            bytes / 1e6,
            work / PACE / threads(),
            threads()
        ));
        Ok(text)
    }

    /// Text as rows of one column, a line each.
    fn lines(&self, text: &str) -> Result<Answer, EngineError> {
        let lines: StringArray = text.lines().map(Some).collect();
        let batch = RecordBatch::try_from_iter([("plan", Arc::new(lines) as ArrayRef)])?;
        self.rows("EXPLAIN", batch)
    }

    pub(super) async fn show_links(&self) -> Result<Answer, EngineError> {
        let schema = &self.engine.catalog.schema;
        let counts = inspect(&self.engine.database, &self.engine.catalog).await?;
        let text = |of: &dyn Fn(&relcast_catalog::Link) -> String| -> ArrayRef {
            Arc::new(schema.links.iter().map(|l| Some(of(l))).collect::<StringArray>())
        };
        let number = |of: &dyn Fn(&LinkReport) -> u64| -> ArrayRef {
            let values = counts.links.iter().map(|l| i64::try_from(of(l)).unwrap_or(i64::MAX));
            Arc::new(Int64Array::from_iter_values(values))
        };
        let batch = RecordBatch::try_from_iter([
            ("child_table", text(&|l| schema.table(l.child).name.clone())),
            ("foreign_key", text(&|l| l.columns.join(", "))),
            ("parent_table", text(&|l| schema.table(l.parent).name.clone())),
            ("primary_key", text(&|l| schema.table(l.parent).primary_key.join(", "))),
            ("edges", number(&|l| l.edges)),
            ("null", number(&|l| l.nulls)),
            ("dangling", number(&|l| l.dangling)),
        ])?;
        self.rows("SHOW", batch)
    }

    pub(super) async fn describe_graph(&self) -> Result<Answer, EngineError> {
        let schema = &self.engine.catalog.schema;
        let counts = inspect(&self.engine.database, &self.engine.catalog).await?;
        let (mut tables, mut columns, mut roles, mut types) = (vec![], vec![], vec![], vec![]);
        let (mut known, mut rows, mut nullable) = (vec![], vec![], vec![]);
        for (table, report) in schema.tables.iter().zip(&counts.tables) {
            for column in &table.columns {
                let is_key = table.primary_key.contains(&column.name);
                let is_link = schema.links.iter().any(|l| {
                    schema.table(l.child).name == table.name && l.columns.contains(&column.name)
                });
                let is_time = table.time_column.as_ref() == Some(&column.name);
                tables.push(table.name.clone());
                columns.push(column.name.clone());
                roles.push(match (is_key, is_link, is_time) {
                    (true, true, _) => Some("primary key, link"),
                    (true, false, _) => Some("primary key"),
                    (false, true, _) => Some("link"),
                    (_, _, true) => Some("time"),
                    _ => None,
                });
                types.push(format!("{:?}", column.semantic).to_lowercase());
                known.push(report.known_from.clone());
                rows.push(i64::try_from(report.rows).unwrap_or(i64::MAX));
                nullable.push(column.known_from.is_some() || column.planned);
            }
        }
        let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("table", text(tables)),
            ("column", text(columns)),
            ("semantic_type", text(types)),
            ("role", Arc::new(StringArray::from(roles)) as ArrayRef),
            ("known_from", text(known)),
            ("cells_have_times", Arc::new(BooleanArray::from(nullable))),
            ("rows", Arc::new(Int64Array::from(rows))),
        ])?;
        self.rows("DESCRIBE", batch)
    }
}

fn rows_of(counts: &relcast_catalog::Inspection, table: TableId) -> f64 {
    counts.tables.get(table.index()).map_or(0.0, |t| t.rows as f64)
}

/// Bytes that a cell takes once it is encoded.
fn encoded_bytes(semantic: SemanticType) -> f64 {
    match semantic {
        SemanticType::Numerical => 20.0,
        SemanticType::Multicategorical => 32.0,
        SemanticType::Text => 48.0,
        SemanticType::Embedding => 1024.0,
        SemanticType::Timestamp => 8.0,
        _ => 4.0,
    }
}

fn threads() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}
