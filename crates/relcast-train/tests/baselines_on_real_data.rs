//! The entity-mean baselines on the label files of the real databases give the published figures.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use relcast_testkit::{DAY, FileLabel, data_dir, read_label_file};
use relcast_train::baselines::{
    LabelRow, frozen_entity_mean, global_constant, rolling_entity_mean,
};
use relcast_train::metrics::{auroc, mae};
use xxhash_rust::xxh3::xxh3_64;

#[derive(Clone, Copy, PartialEq)]
enum Metric {
    Auroc,
    Mae,
}
use Metric::{Auroc, Mae};

/// Database, task, cutoff column, entity column, label column, horizon in days, metric, figure of
/// the frozen and of the rolling entity mean on the test split.
type Task =
    (&'static str, &'static str, &'static str, &'static str, &'static str, i64, Metric, f64, f64);

const BICYCLES: &str = "stackexchange-bicycles-meta";
const TASKS: [Task; 14] = [
    ("rel-f1", "driver-dnf", "date", "driverId", "did_not_finish", 30, Auroc, 0.6993, 0.7795),
    ("rel-f1", "driver-top3", "date", "driverId", "qualifying", 30, Auroc, 0.5565, 0.8631),
    ("rel-f1", "driver-position", "date", "driverId", "position", 60, Mae, 4.061, 3.280),
    (BICYCLES, "user-engagement", "timestamp", "Id", "active", 182, Auroc, 0.8145, 0.8556),
    (BICYCLES, "user-badge", "timestamp", "Id", "badge", 182, Auroc, 0.7364, 0.7469),
    (BICYCLES, "post-votes", "timestamp", "Id", "upvotes", 182, Mae, 0.1095, 0.0940),
    ("lahman-baseball", "player-homeruns", "timestamp", "playerID", "hr", 365, Mae, 7.510, 6.301),
    (
        "lahman-baseball",
        "player-retires",
        "timestamp",
        "playerID",
        "gone",
        365,
        Auroc,
        0.5361,
        0.5727,
    ),
    (
        "lahman-baseball",
        "franchise-wins",
        "timestamp",
        "franchID",
        "win_share",
        365,
        Mae,
        0.0572,
        0.0567,
    ),
    ("tennis-atp", "player-winrate", "timestamp", "player_id", "win_rate", 90, Mae, 0.1534, 0.1508),
    (
        "tennis-atp",
        "player-inactive",
        "timestamp",
        "player_id",
        "inactive",
        90,
        Auroc,
        0.6801,
        0.7783,
    ),
    (
        "complete-journey",
        "household-spend",
        "timestamp",
        "household_id",
        "spend",
        14,
        Mae,
        50.11,
        49.56,
    ),
    (
        "complete-journey",
        "household-lapse",
        "timestamp",
        "household_id",
        "lapsed",
        14,
        Auroc,
        0.8029,
        0.8093,
    ),
    (
        "complete-journey",
        "product-sales",
        "timestamp",
        "product_id",
        "sales",
        14,
        Mae,
        9.445,
        9.137,
    ),
];

fn rows(data: &Path, task: &Task, split: &str) -> Vec<LabelRow> {
    let (database, name, cutoff, entity, label, days, ..) = *task;
    let path = data.join(database).join("tasks").join(name).join(format!("{split}.parquet"));
    let to_row = |row: FileLabel| LabelRow {
        entity: xxh3_64(row.entity.as_bytes()),
        cutoff: row.cutoff,
        closes: row.cutoff + days * DAY,
        label: row.label,
    };
    read_label_file(&path, cutoff, entity, label).unwrap().into_iter().map(to_row).collect()
}

#[test]
fn entity_means_reach_the_published_figures() {
    let Some(data) = data_dir() else { return };
    for task in &TASKS {
        let (_, name, .., metric, frozen, rolling) = *task;
        let mut past = rows(&data, task, "train");
        past.extend(rows(&data, task, "val"));
        let test = rows(&data, task, "test");
        let all = [past.as_slice(), &test].concat();
        let labels: Vec<f64> = test.iter().map(|row| row.label).collect();
        let score = |predictions: &[f64]| match metric {
            Auroc => auroc(&labels, predictions).unwrap(),
            Mae => mae(&labels, predictions).unwrap(),
        };
        let constant = global_constant(&past).unwrap();
        for (history, published, predictions) in [
            ("frozen", frozen, frozen_entity_mean(&past, &test).unwrap()),
            ("rolling", rolling, rolling_entity_mean(&all, &test, constant.mean).unwrap()),
        ] {
            assert_eq!(predictions.len(), test.len());
            let (value, unit) = (score(&predictions), last_digit(published));
            assert!(
                (value - published).abs() <= 0.51 * unit,
                "{name} {history}: {value}, not {published}"
            );
        }
    }
}

#[test]
fn the_median_is_the_better_constant_for_absolute_errors() {
    let Some(data) = data_dir() else { return };
    for (task, published) in [(&TASKS[2], 4.399), (&TASKS[5], 0.0272)] {
        let mut past = rows(&data, task, "train");
        past.extend(rows(&data, task, "val"));
        let test = rows(&data, task, "test");
        let labels: Vec<f64> = test.iter().map(|row| row.label).collect();
        let median = vec![global_constant(&past).unwrap().median; labels.len()];
        let value = mae(&labels, &median).unwrap();
        assert!(
            (value - published).abs() <= 0.51 * last_digit(published),
            "{value}, not {published}"
        );
    }
}

/// The weight of the last digit of a figure published with four significant digits, four decimals
/// at most.
fn last_digit(figure: f64) -> f64 {
    match figure {
        f if f >= 10.0 => 0.01,
        f if f >= 1.0 => 0.001,
        _ => 0.0001,
    }
}
