//! `relcast predict`: predictions of a registered model, printed or written to a target.

use relcast_engine::work::{self, PredictAt};
use relcast_engine::{Home, Registry};
use serde_json::json;

use super::{open, stored};
use crate::arguments::{Common, Format, Predict};
use crate::failure::Failure;
use crate::output::{print, print_json, print_rows};

/// Predicts, then writes the rows whole or not at all.
pub async fn run(common: &Common, arguments: &Predict) -> Result<(), Failure> {
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let model = stored(&registry, &arguments.model, arguments.version).await?;
    let at = match arguments.split {
        Some(split) => PredictAt::Split(split, arguments.history),
        None => PredictAt::Moment(arguments.as_of),
    };
    let rows = work::predict(&registry, &database, &catalog, &model, at).await?;
    match &arguments.into {
        Some(target) => {
            let written = relcast_connect::write(target, &[rows]).await?;
            match common.format {
                Format::Json => {
                    print_json(&json!({ "rows": written, "target": target.to_string() }))
                }
                _ => print(&format!("{written} predictions → {target}")),
            }
        }
        None => print_rows(common.format, &rows.schema(), std::slice::from_ref(&rows)),
    }
}
