//! The baselines that an evaluation prints are those that were published with the real databases.
#![allow(clippy::unwrap_used)]

mod common;

use common::{QUICK, json, relcast};
use relcast_testkit::data_dir;
use serde_json::Value;

/// Database, task, metric, and the published figures of the test split, which have as many decimals
/// as are compared: history, baseline, figure.
type Published = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, &'static str)],
);

const PUBLISHED: [Published; 4] = [
    (
        "rel-f1",
        "driver-position",
        "mae",
        &[
            ("frozen", "entity_mean", "4.061"),
            ("frozen", "constant", "4.399"),
            ("rolling", "entity_mean", "3.280"),
        ],
    ),
    (
        "lahman-baseball",
        "franchise-wins",
        "mae",
        &[("frozen", "entity_mean", "0.0572"), ("rolling", "entity_mean", "0.0567")],
    ),
    (
        "stackexchange-bicycles-meta",
        "user-badge",
        "auroc",
        &[
            ("frozen", "entity_mean", "0.7364"),
            ("frozen", "constant", "0.5000"),
            ("rolling", "entity_mean", "0.7469"),
        ],
    ),
    (
        "tennis-atp",
        "player-winrate",
        "mae",
        &[("frozen", "entity_mean", "0.1534"), ("rolling", "entity_mean", "0.1508")],
    ),
];

#[test]
fn evaluations_print_the_published_baselines() {
    let Some(data) = data_dir() else { return };
    for (database, task, metric, figures) in PUBLISHED {
        let home = tempfile::tempdir().unwrap();
        let source = data.join(database).display().to_string();
        let train = ["train", "--db", &source, "--task", task, "--model", "m"];
        json(&relcast(home.path(), &[&train[..], &QUICK[..], &["--format", "json"]].concat()));
        let evaluate = ["evaluate", "--db", &source, "--model", "m", "--split", "test"];
        let report = json(&relcast(home.path(), &[&evaluate[..], &["--format", "json"]].concat()));
        for (history, baseline, published) in figures {
            let of_history = |result: &&Value| result["history"] == *history;
            let result = report["results"].as_array().unwrap().iter().find(of_history).unwrap();
            let figure = result["baselines"][baseline][metric].as_f64().unwrap();
            let decimals = published.split_once('.').unwrap().1.len();
            // Rounded like the published one, which may lie a hair's breadth from a half.
            let off = (figure - published.parse::<f64>().unwrap()).abs();
            let unit = 0.1_f64.powi(decimals as i32);
            assert!(off <= 0.51 * unit, "{task} {history} {baseline}: {figure}, not {published}");
        }
    }
}
