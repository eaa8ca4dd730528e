//! What may leak, or spoil the cutoffs, is told to whoever trains.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write;
use std::path::Path;

use common::session::Asked;
use relcast_catalog::format_time;
use relcast_engine::work::Question;

const CREATE: &str = "CREATE MODEL spend AS PREDICT SUM(events.amount, 0, 10, days) FOR EACH shops.shop_id WITH (epochs = 1, max_train_rows = 100)";

/// Shops with an event a day each, and what each event is made of, with a day as people write it.
fn write_shops(folder: &Path) {
    let mut shops = "shop_id,size\n".to_owned();
    let mut events = "event_id,shop_id,at,amount\n".to_owned();
    let mut items = "item_id,event_id,picked\n".to_owned();
    for shop in 1..=10 {
        writeln!(shops, "{shop},{}", shop % 3).unwrap();
        for day in 0..240 {
            let event = shop * 1000 + day;
            let (month, of_month) = (1 + day / 20, 1 + day % 20);
            let amount = (event * 7919) % 100;
            writeln!(events, "{event},{shop},2023-{month:02}-{of_month:02},{amount}.5").unwrap();
            writeln!(items, "{event},{event},{:02}/{month:02}/2023", 1 + day % 12).unwrap();
        }
    }
    for (name, text) in [("shops.csv", shops), ("events.csv", events), ("items.csv", items)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_time_was_missed_is_told_until_a_person_says_that_it_has_none() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_shops(source.path());
    let asked = Asked::open(source.path(), home.path()).await;
    asked.run(CREATE).await;
    let told = asked.told.take();
    let about = "table \"items\" has no time column, its rows are known with events (via event_id), but this looks like a time: \"picked\" (2400 of 2400 values are written as dates)";
    assert!(told.iter().any(|note| note.starts_with(about)), "{told:?}");

    let yaml = "tables:\n  items: { time_column: null }\n";
    std::fs::write(source.path().join("relcast.yaml"), yaml).unwrap();
    let home = tempfile::tempdir().unwrap();
    let asked = Asked::open(source.path(), home.path()).await;
    asked.run(CREATE).await;
    let told = asked.told.take();
    assert!(!told.iter().any(|note| note.contains("looks like a time")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cutoffs_are_laid_where_the_data_are_whatever_rows_far_from_them_say() {
    let source = tempfile::tempdir().unwrap();
    write_shops(source.path());
    let query = "PREDICT SUM(events.amount, 0, 10, days) FOR EACH shops.shop_id";
    let ends = async || {
        let database = relcast_connect::open(source.path().to_str().unwrap()).await.unwrap();
        let catalog = relcast_catalog::load(&database, None).await.unwrap();
        let question = Question::Query(query.to_owned());
        let plan = question.plan(&catalog.schema, &[]).unwrap();
        let cutoffs = plan.cutoffs(&database.context, &catalog.schema).await.unwrap();
        let newest = plan.newest_time(&database.context, None).await.unwrap();
        let by_then = plan.newest_time(&database.context, Some(i64::MAX / 8)).await.unwrap();
        assert_eq!((newest, by_then), (Some(cutoffs.data_end), Some(cutoffs.data_end)));
        cutoffs
    };
    let before = ends().await;
    assert_eq!(format_time(before.data_end), "2023-12-20");
    let events = source.path().join("events.csv");
    let text = std::fs::read_to_string(&events).unwrap();
    let late = "1,1,2600-01-01,1\n2,1,9999-12-31,1\n";
    for early in ["", "3,1,0001-01-01,1\n", "3,1,1900-01-01,1\n", "3,1,1970-01-01,1\n"] {
        for late in ["", "1,1,2050-01-01,1\n", late] {
            std::fs::write(&events, format!("{text}{early}{late}")).unwrap();
            assert_eq!(ends().await, before, "{early}{late}");
        }
    }
    let early = "3,1,0001-01-01,1\n4,1,1970-01-01,1\n";
    std::fs::write(&events, format!("{text}{early}{late}")).unwrap();
    assert_eq!(ends().await, before);

    let home = tempfile::tempdir().unwrap();
    let asked = Asked::open(source.path(), home.path()).await;
    asked.run(CREATE).await;
    let told = asked.told.take();
    let about = "2 rows of table \"events\" are far later than all that labels are taken from, which end on 2023-12-20: column \"at\" goes up to 9999-12-31";
    assert!(told.iter().any(|note| note.starts_with(about)), "{told:?}");
    let about = "2 rows of table \"events\" are far earlier than all that labels are taken from: column \"at\" goes back to 0001-01-01";
    assert!(told.iter().any(|note| note.starts_with(about)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_nothing_of_is_told() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_shops(source.path());
    let marks = "mark_id,event_id,mark\n1,999999,2.5\n2,999998,1.5\n";
    std::fs::write(source.path().join("marks.csv"), marks).unwrap();
    let events = source.path().join("events.csv");
    let text = std::fs::read_to_string(&events).unwrap();
    let empty = |(index, line): (usize, &str)| match index {
        0 => format!("{line},paid\n"),
        1 => format!("{line},5.5\n"),
        _ => format!("{line},\n"),
    };
    std::fs::write(&events, text.lines().enumerate().map(empty).collect::<String>()).unwrap();
    let yaml = "tables:\n  items: { time_column: null }\n  marks: { time_column: null, foreign_keys: { event_id: events } }\n";
    std::fs::write(source.path().join("relcast.yaml"), yaml).unwrap();
    let asked = Asked::open(source.path(), home.path()).await;
    let create = |target: &str| {
        format!("CREATE MODEL m AS PREDICT {target} FOR EACH shops.shop_id WITH (epochs = 1)")
    };
    let unlinked = asked.error(&create("SUM(marks.mark, 0, 10, days)")).await;
    assert!(unlinked.contains("no row that the target reads has a time"), "{unlinked}");
    // The one payment is of the first day, which lies in no window.
    let null = asked.error(&create("AVG(events.paid, 0, 10, days)")).await;
    assert!(null.contains("10 entities take part") && null.contains("labels are NULL"), "{null}");
}
