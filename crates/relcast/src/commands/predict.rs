//! `relcast predict`: predictions of a registered model, printed or written to a target.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use relcast_engine::work::{self, PredictAt};
use relcast_engine::{Home, Registry};
use relcast_query::ast::Name;
use relcast_query::{OptionValue, Place};
use serde_json::json;

use super::{open, stored, surround};
use crate::arguments::{Common, Format, Predict};
use crate::failure::Failure;
use crate::output::{print, print_json, print_rows};

/// Predicts, then writes the rows whole or not at all.
pub async fn run(common: &Common, arguments: &Predict) -> Result<(), Failure> {
    let targets = arguments.into.as_slice();
    targets.iter().try_for_each(relcast_connect::check_target)?;
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let model = stored(&registry, &arguments.model, arguments.version).await?;
    surround(&registry, &database, &model).await?;
    let at = match arguments.split {
        Some(split) => PredictAt::Split(split, arguments.history),
        None => PredictAt::Moment(arguments.as_of),
    };
    let set = arguments.set.iter().map(|(name, value)| {
        let name = Name { text: name.clone(), at: Place::default() };
        (name, OptionValue::from_text(value))
    });
    let set: Vec<_> = set.collect();
    let rows =
        work::predict_into(&registry, &database, &catalog, &model, at, &set, targets).await?;
    match (&arguments.into, common.format) {
        (Some(target), Format::Json) => print_json(&json!({
            "rows": rows.num_rows(),
            "target": target.to_string(),
            "stale_days": stale_days(&rows),
        })),
        (Some(target), _) => print(&format!("{} predictions → {target}", rows.num_rows())),
        (None, format) => print_rows(format, &rows.schema(), std::slice::from_ref(&rows)),
    }
}

/// How many days before the latest cutoff the data end: 0 where they reach it.
fn stale_days(rows: &RecordBatch) -> f64 {
    let latest = |name: &str| {
        let column = rows.column_by_name(name)?;
        arrow::compute::max(column.as_primitive_opt::<TimestampMicrosecondType>()?)
    };
    let micros = latest("cutoff").zip(latest("data_until")).map_or(0, |(cutoff, end)| cutoff - end);
    micros.max(0) as f64 / 86_400e6
}
