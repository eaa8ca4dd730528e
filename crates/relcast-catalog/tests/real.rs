//! Counts over the real databases equal those that their READMEs give.

#![allow(clippy::unwrap_used)]

mod common;

use common::database;
use relcast_catalog::{inspect, load};
use relcast_testkit::data_dir;

/// Inspects one database; `dangling` are all dangling counts that aren't 0, by link.
async fn check(name: &str, tables: usize, rows: u64, edges: u64, dangling: &[(&str, u64)]) {
    let Some(data) = data_dir() else { return };
    let started = std::time::Instant::now();
    let database = database(&data.join(name)).await;
    let catalog = load(&database, None).await.unwrap();
    let loaded = started.elapsed();
    let inspection = inspect(&database, &catalog).await.unwrap();
    println!("{name}: loaded in {loaded:.1?}, inspected after {:.1?}", started.elapsed());
    assert_eq!(
        (inspection.tables.len(), inspection.rows, inspection.edges),
        (tables, rows, edges),
        "{name}"
    );
    let found: Vec<(&str, u64)> = inspection
        .links
        .iter()
        .filter(|l| l.dangling > 0)
        .map(|l| (l.link.as_str(), l.dangling))
        .collect();
    assert_eq!(found, dangling, "{name}");
    assert!(!catalog.tasks.is_empty());
    assert!(inspection.tables.iter().all(|t| t.duplicate_keys == 0 && t.null_keys == 0), "{name}");
}

#[tokio::test]
async fn formula_one() {
    check("rel-f1", 9, 97_606, 227_716, &[]).await;
}

#[tokio::test]
async fn bicycles_meta() {
    // The README names the votes only; its count of edges leaves out these seven too.
    let dangling =
        [("post_links.PostId", 5), ("post_links.RelatedPostId", 2), ("votes.PostId", 163)];
    check("stackexchange-bicycles-meta", 9, 23_848, 29_125, &dangling).await;
}

#[tokio::test]
async fn baseball() {
    let dangling =
        [("allstar.teamSeasonID", 139), ("appearances.playerID", 1), ("college.schoolID", 10)];
    check("lahman-baseball", 17, 501_916, 946_949, &dangling).await;
}

#[tokio::test]
async fn tennis() {
    check("tennis-atp", 5, 1_284_282, 2_940_460, &[]).await;
}

#[tokio::test]
async fn groceries() {
    let dangling = [("coupons.product_id", 16), ("transactions.product_id", 4_836)];
    check("complete-journey", 9, 22_630_015, 46_533_917, &dangling).await;
}
