//! `relcast demo`: the whole way once, on a generated shop, with the command for each step.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use relcast_catalog::{Catalog, inspect};
use relcast_connect::{Database, OpenOptions, Target};
use relcast_engine::shop::{CHURN_QUERY, ShopSummary, generate};
use relcast_engine::work::{self, EvaluationReport, PredictAt, Question};
use relcast_engine::{Home, Registry, rows_as_json};
use relcast_query::{History, LabelPlan, bind, parse};
use relcast_train::evaluate::SplitName;
use serde_json::json;

use super::train::Bar;
use super::{evaluate, stored};
use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::output::{columns, print, print_json};

const MODEL: &str = "demo_churn";
const BASELINE: &str = "boosting_own_columns";

/// Who is likely to leave, with names.
const TOP: &str = "SELECT c.name AS customer, c.segment, round(p.probability, 3) AS chance \
                   FROM churn AS p JOIN customers AS c ON c.customer_id = p.customer_id \
                   ORDER BY p.probability DESC, p.customer_id LIMIT 10";

/// Generates the shop, then inspects, labels, trains, evaluates, predicts and shows ten rows.
pub async fn run(common: &Common) -> Result<(), Failure> {
    let demo = Demo { common, home: Home::open(&common.home)? };
    let shop = demo.generate()?;
    let source = shop.dir.display().to_string();
    let options = OpenOptions { threads: common.threads.map(Into::into) };
    let database = relcast_connect::open_with(&source, &options).await?;
    let catalog = relcast_catalog::load(&database, None).await?;
    demo.inspect(&database, &catalog, &source).await?;
    demo.labels(&database, &catalog, &source).await?;
    let registry = Registry::open(&demo.home).await?;
    let report = demo.train(&registry, &database, &catalog, &source).await?;
    let predictions = demo.predict(&registry, &database, &catalog, &source).await?;
    let top = demo.top(&database, &predictions).await?;
    if common.format == Format::Json {
        let failed = |error| Failure::new(format!("cannot print the predictions: {error}"));
        return print_json(&json!({
            "shop": shop,
            "evaluation": report,
            "predictions": demo.targets().map(|target| target.to_string()),
            "top": rows_as_json(&top).map_err(failed)?,
        }));
    }
    Ok(())
}

struct Demo<'a> {
    common: &'a Common,
    home: Home,
}

impl Demo<'_> {
    fn folder(&self) -> PathBuf {
        self.home.path().join("demo")
    }

    fn seed(&self) -> u64 {
        self.common.seed.unwrap_or(0)
    }

    /// Where the predictions go.
    fn targets(&self) -> [Target; 2] {
        [
            Target::Parquet(self.folder().join("churn.parquet")),
            Target::Sqlite { file: self.folder().join("predictions.db"), table: "churn".into() },
        ]
    }

    /// Says what a step does, and how to do it by hand.
    fn step(&self, title: &str, command: &str) -> Result<(), Failure> {
        self.say(&format!("\n== {title}\n   $ {command}\n"))
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.common.format == Format::Json { Ok(()) } else { print(text) }
    }

    /// The shop appears whole or not at all; one of an earlier demo is replaced.
    fn generate(&self) -> Result<ShopSummary, Failure> {
        let (shop, unfinished) = (self.folder().join("shop"), self.folder().join("shop.part"));
        remove(&unfinished)?;
        let failed = |error: relcast_engine::shop::ShopError| Failure::new(error.to_string());
        let summary = generate(&unfinished, self.seed()).map_err(failed)?;
        remove(&shop)?;
        std::fs::rename(&unfinished, &shop).map_err(|error| {
            Failure::new(format!("cannot write the shop to {}: {error}", shop.display()))
        })?;
        self.say(&format!(
            "relcast demo: who will stop ordering?\n\nA shop of three years, generated (seed {}): {} rows in {} tables, as Parquet in {}.\n\
             Customers leave when orders come late, products break and tickets stay unanswered. The\n\
             customers' own table says little of it: the rest lies in other tables, partly in what\n\
             happened to other customers.",
            self.seed(),
            summary.rows,
            summary.tables.len(),
            shop.display()
        ))?;
        Ok(ShopSummary { dir: shop, ..summary })
    }

    async fn inspect(
        &self,
        database: &Database,
        catalog: &Catalog,
        source: &str,
    ) -> Result<(), Failure> {
        self.step("The schema is read as a graph", &format!("relcast inspect --db {source}"))?;
        let found = inspect(database, catalog).await?;
        let rows: Vec<[String; 3]> = found
            .tables
            .iter()
            .map(|table| {
                let links = found
                    .schema
                    .links
                    .iter()
                    .filter(|link| found.schema.table(link.child).name == table.table);
                let parents: Vec<&str> =
                    links.map(|link| found.schema.table(link.parent).name.as_str()).collect();
                [table.table.clone(), table.rows.to_string(), parents.join(", ")]
            })
            .collect();
        self.say(&columns(["table", "rows", "points to"], &rows))?;
        self.say(&format!(
            "{} edges over {} links; {} findings, such as suspects for a leak: `inspect` lists them",
            found.edges,
            found.links.len(),
            found.findings.len()
        ))
    }

    async fn labels(
        &self,
        database: &Database,
        catalog: &Catalog,
        source: &str,
    ) -> Result<(), Failure> {
        let statement = format!("EXPLAIN LABELS {CHURN_QUERY}");
        self.step(
            "The question, and its labels",
            &format!("relcast sql --db {source} -c \"{statement}\""),
        )?;
        let bound = bind(&parse(CHURN_QUERY)?, &catalog.schema)?;
        let plan = LabelPlan::from_query(&bound, &catalog.schema)?;
        let explained = plan.explain_labels(&database.context, &catalog.schema).await?;
        let rows: Vec<[String; 5]> = explained
            .splits
            .iter()
            .map(|split| {
                let positives: f64 = split.cutoffs.iter().filter_map(|c| c.total).sum();
                let cutoff = |c: Option<&relcast_query::CutoffExplanation>| {
                    c.map(|c| c.cutoff.clone()).unwrap_or_default()
                };
                [
                    split.split.name().to_owned(),
                    split.rows.to_string(),
                    format!("{:.1} %", 100.0 * positives / split.rows.max(1) as f64),
                    cutoff(split.cutoffs.first()),
                    cutoff(split.cutoffs.last()),
                ]
            })
            .collect();
        self.say(&columns(["split", "label rows", "leave", "first cutoff", "last cutoff"], &rows))?;
        self.say(
            "At each cutoff only what was known by then may be read; the splits follow each other in time.",
        )
    }

    async fn train(
        &self,
        registry: &Registry,
        database: &Database,
        catalog: &Catalog,
        source: &str,
    ) -> Result<EvaluationReport, Failure> {
        self.step(
            "A graph network is trained and judged beside the baselines",
            &format!("relcast train --db {source} --model {MODEL} --query \"{CHURN_QUERY}\""),
        )?;
        let question = Question::Query(CHURN_QUERY.to_owned());
        let set = [("seed".to_owned(), self.seed().to_string())];
        let lock = work::lock_to_train(registry, MODEL)?;
        let mut bar = Bar::new();
        let report =
            work::train(registry, database, catalog, &question, &set, &lock, &mut bar).await?;
        drop(bar);
        if self.common.format != Format::Json {
            evaluate::print_report(self.common, &report)?;
            self.compare(&report)?;
        }
        Ok(report)
    }

    /// The network beside the best that one table can do, whichever is better.
    fn compare(&self, report: &EvaluationReport) -> Result<(), Failure> {
        let judged = report
            .results
            .iter()
            .find(|r| r.split == SplitName::Test && r.history == History::Rolling);
        let network = judged.and_then(|r| r.metrics.get("auroc"));
        let single = judged.and_then(|r| r.baselines.get(BASELINE)?.get("auroc"));
        let (Some(network), Some(single)) = (network, single) else {
            return self.say("AUROC is undefined on the test split: all its labels are equal.");
        };
        let verdict = if network > single {
            "the links say what the customers' table cannot"
        } else {
            "here the links did not help"
        };
        self.say(&format!(
            "Test AUROC (0.5 is a coin): {network:.3} from all tables, {single:.3} from the customers' table alone: {verdict}."
        ))
    }

    async fn predict(
        &self,
        registry: &Registry,
        database: &Database,
        catalog: &Catalog,
        source: &str,
    ) -> Result<RecordBatch, Failure> {
        let [parquet, sqlite] = self.targets();
        self.step(
            "Everybody who ordered lately gets a prediction",
            &format!("relcast predict --db {source} --model {MODEL} --into {sqlite}"),
        )?;
        let model = stored(registry, MODEL, None).await?;
        let targets = [parquet.clone(), sqlite.clone()];
        let now = PredictAt::Moment(None);
        let rows =
            work::predict_into(registry, database, catalog, &model, now, &[], &targets).await?;
        self.say(&format!("{} predictions → {parquet}, {sqlite}", rows.num_rows()))?;
        Ok(rows)
    }

    async fn top(
        &self,
        database: &Database,
        predictions: &RecordBatch,
    ) -> Result<Vec<RecordBatch>, Failure> {
        self.say(&format!("\n== With names, in SQL\n   {TOP}\n"))?;
        let table = MemTable::try_new(predictions.schema(), vec![vec![predictions.clone()]])?;
        database.context.register_table("churn", std::sync::Arc::new(table))?;
        let top = database.context.sql(TOP).await?.collect().await?;
        let failed = |error| Failure::new(format!("cannot print the predictions: {error}"));
        self.say(&pretty_format_batches(&top).map_err(failed)?.to_string())?;
        Ok(top)
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot remove {}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}
