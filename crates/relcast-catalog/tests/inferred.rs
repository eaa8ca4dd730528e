//! Without declarations, keys, links, times and types come from names and values together.

#![allow(clippy::unwrap_used)]

mod common;

use common::{database, folder, try_load};
use relcast_catalog::FindingKind;
use relcast_catalog::{KnownFrom, SemanticType, inspect, load};

fn shop() -> Vec<(&'static str, String)> {
    let mut customers = "customer_id,email,date_of_birth,signup_date,referrer_id\n".to_owned();
    let mut orders = "id,customerId,status,created_at,delivered_at,total\n".to_owned();
    let mut items = "order_id,line,product_id,quantity\n".to_owned();
    let mut products = "product_id,name,category,blank,one\n".to_owned();
    for i in 1..=40 {
        let referrer = if i > 1 { (i / 2).to_string() } else { String::new() };
        customers.push_str(&format!(
            "{i},c{i}@example.org,1980-01-{:02},2020-01-{:02},{referrer}\n",
            i % 28 + 1,
            i % 28 + 1
        ));
        products.push_str(&format!(
            "p{i},product number {i} with a rather long description of it,{},,x\n",
            ["a", "b", "c"][i % 3]
        ));
    }
    for i in 1..=200 {
        let day = i % 28 + 1;
        let delivered = if i % 5 == 0 { String::new() } else { format!("2020-03-{day:02}") };
        orders.push_str(&format!(
            "{i},{},{},2020-02-{day:02} 10:00:00,{delivered},{i}.5\n",
            i % 40 + 1,
            ["new", "sent"][i % 2]
        ));
        items.push_str(&format!("{i},1,p{},{}\n", i % 40 + 1, i % 4));
    }
    vec![
        ("customers.csv", customers),
        ("orders.csv", orders),
        ("order_items.csv", items),
        ("products.csv", products),
    ]
}

#[tokio::test]
async fn a_shop_is_understood() {
    let files = shop();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let schema = &catalog.schema;
    let table = |name: &str| schema.table(schema.find_table(name).unwrap());
    assert_eq!(table("customers").primary_key, ["customer_id"]);
    assert_eq!(table("orders").primary_key, ["id"]);
    assert_eq!(table("products").primary_key, ["product_id"]);
    assert_eq!(table("customers").time_column.as_deref(), Some("signup_date"));
    assert_eq!(table("orders").time_column.as_deref(), Some("created_at"));
    let links: Vec<String> = schema
        .links
        .iter()
        .map(|l| format!("{} {}", schema.link_name(l), schema.table(l.parent).name))
        .collect();
    assert_eq!(
        links,
        [
            "customers.referrer_id customers",
            "order_items.order_id orders",
            "order_items.product_id products",
            "orders.customerId customers"
        ]
    );
    assert!(matches!(table("order_items").known_from, KnownFrom::Parents(_)));
    let semantic = |t: &str, c: &str| table(t).find_column(c).unwrap().semantic;
    assert_eq!(semantic("orders", "status"), SemanticType::Categorical);
    assert_eq!(semantic("orders", "total"), SemanticType::Numerical);
    assert_eq!(semantic("products", "name"), SemanticType::Text);
    assert_eq!(semantic("products", "category"), SemanticType::Categorical);
    assert_eq!(semantic("products", "blank"), SemanticType::Ignored);
    assert_eq!(semantic("products", "one"), SemanticType::Ignored);
    assert_eq!(semantic("customers", "date_of_birth"), SemanticType::Timestamp);
    assert!(
        catalog
            .proposals
            .iter()
            .any(|p| p.table == "orders" && p.what == "link customerId → customers")
    );

    let inspection = inspect(&database, &catalog).await.unwrap();
    let items = inspection.tables.iter().find(|t| t.table == "order_items").unwrap();
    assert_eq!(items.known_from, "with orders (via order_id)");
    assert!(items.first_known.is_some());
    let text = inspection.to_text();
    for part in [
        "orders.customerId",
        "customers.referrer_id",
        "cells are later than their row",
        "named like a column that is overwritten",
        "static",
        "every value is NULL",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let dot = inspection.to_dot();
    assert!(dot.starts_with("digraph") && dot.contains("orders\\n200 rows"), "{dot}");
    assert!(serde_json::to_string(&inspection).unwrap().contains("\"younger_cells\""));
}

#[tokio::test]
async fn two_columns_that_both_count_are_no_link() {
    let mut left = "left_id,position\n".to_owned();
    let mut right = "right_id,rank\n".to_owned();
    for i in 1..=30 {
        left.push_str(&format!("{i},{i}\n"));
        right.push_str(&format!("{i},{i}\n"));
    }
    let catalog = try_load(&[("lefts.csv", &left), ("rights.csv", &right)]).await.unwrap();
    assert!(catalog.schema.links.is_empty(), "{:?}", catalog.proposals);
}

#[tokio::test]
async fn a_link_with_many_dangling_rows_is_only_proposed() {
    let files = [
        ("users.csv", "user_id,age\n1,20\n2,30\n3,40\n"),
        ("visits.csv", "id,user_id\n1,1\n2,3\n3,2\n4,9\n"),
    ];
    let catalog = try_load(&files).await.unwrap();
    assert!(catalog.schema.links.is_empty());
    let proposal = catalog.proposals.iter().find(|p| p.what.contains("perhaps")).unwrap();
    assert!(proposal.evidence.contains("3 of 4"), "{proposal:?}");
}

#[tokio::test]
async fn text_keys_match_numbers_and_it_is_reported() {
    let files = [
        ("users.csv", "user_id,age\n1,20\n2,30\n3,40\n"),
        (
            "visits.csv",
            "id,user_id,at\n1,1,2020-01-01\n2,3,2020-01-02\n3,x,2020-01-03\n4,,2020-01-04\n",
        ),
        ("relcast.yaml", "tables: { visits: { foreign_keys: { user_id: users } } }\n"),
    ];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let inspection = inspect(&database, &catalog).await.unwrap();
    let link = &inspection.links[0];
    assert_eq!((link.edges, link.nulls, link.dangling), (2, 1, 1));
    assert!(link.types_differ.as_deref().unwrap().contains("Utf8"));
    let is_null = |f: &&relcast_catalog::Finding| f.kind == FindingKind::NullLink;
    let null = inspection.findings.iter().find(is_null).unwrap();
    assert_eq!((null.column.as_deref(), null.count), (Some("user_id"), Some(1)));
}

#[tokio::test]
async fn columns_overwritten_in_place_are_suspects_in_static_tables_too() {
    let files = [
        ("users.csv", "user_id,status,name,total_spent\n1,a,x,2.5\n2,b,y,3.5\n3,a,z,4.5\n"),
        ("visits.csv", "id,user_id,at,state\n1,1,2020-01-01,on\n2,3,2020-01-02,off\n"),
        (
            "relcast.yaml",
            "tables:\n  users: { primary_key: user_id, time_column: null }\n  visits: { primary_key: id, time_column: at }\n",
        ),
    ];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let inspection = inspect(&database, &catalog).await.unwrap();
    let suspects = inspection.findings.iter().filter(|f| f.kind == FindingKind::Overwritten);
    let suspects: Vec<(&str, &str)> =
        suspects.map(|f| (f.table.as_str(), f.column.as_deref().unwrap())).collect();
    assert_eq!(suspects, [("users", "status"), ("users", "total_spent"), ("visits", "state")]);
}

#[tokio::test]
async fn problems_are_counted() {
    let files = [
        ("users.csv", "user_id,joined\n1,2020-01-01\n1,2020-01-02\n,2020-01-03\n2,\n"),
        (
            "visits.csv",
            "id,user_id,at,until\n1,1,2020-01-01,2020-02-01\n2,7,2020-01-02,2020-01-01\n",
        ),
        ("nothing.csv", "id,x\n"),
        (
            "relcast.yaml",
            "tables:\n  users: { primary_key: user_id, time_column: joined }\n  visits: { time_column: at, foreign_keys: { user_id: users } }\n",
        ),
    ];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let inspection = inspect(&database, &catalog).await.unwrap();
    let users = inspection.tables.iter().find(|t| t.table == "users").unwrap();
    assert_eq!((users.rows, users.duplicate_keys, users.null_keys, users.null_times), (4, 1, 1, 1));
    let visits = inspection.tables.iter().find(|t| t.table == "visits").unwrap();
    assert_eq!(visits.columns[3].younger_cells, 1);
    assert_eq!(
        (inspection.links[0].edges, inspection.links[0].dangling),
        (1, 1),
        "a repeated key is no second edge"
    );
    let nothing = inspection.tables.iter().find(|t| t.table == "nothing").unwrap();
    assert_eq!((nothing.rows, nothing.first_known), (0, None));
}

/// Tables and columns that look like times though no time was found, with what speaks for them.
fn time_likes(inspection: &relcast_catalog::Inspection) -> Vec<(FindingKind, String, String)> {
    let kinds = [FindingKind::StaticWithTimes, FindingKind::InheritsWithTimes];
    let found = inspection.findings.iter().filter(|f| kinds.contains(&f.kind));
    let place = |f: &relcast_catalog::Finding| {
        format!("{}.{}", f.table, f.column.as_deref().unwrap_or_default())
    };
    found.map(|f| (f.kind, place(f), f.text.clone())).collect()
}

/// Orders with a time, and in four tables that are linked to them a time that is missed.
fn missed_times() -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("orders.csv", "order_id,placed_at\n".to_owned()),
        ("returns.csv", "return_id,order_id,opened\n".to_owned()),
        ("parcels.csv", "parcel_id,order_id,sent\n".to_owned()),
        ("scans.csv", "scan_id,order_id,scanned_at,weight\n".to_owned()),
        ("calls.csv", "call_id,order_id,call_time\n".to_owned()),
        ("visits.csv", "visit_id,order_id,visit_date\n".to_owned()),
    ];
    for i in 1..=40 {
        let day = i % 28 + 1;
        // One call in eight has no time, and one visit has no date that can be read.
        let call = if i % 8 == 0 { String::new() } else { format!("2020-04-{day:02} 10:00:00") };
        let visit = if i == 7 { "soon".to_owned() } else { format!("2020-05-{day:02}") };
        let lines = [
            format!("{i},2020-03-{day:02}\n"),
            format!("{i},{i},2020-03-{day:02} 08:00:00\n"),
            format!("{i},{i},{:02}/{:02}/2020\n", i % 12 + 1, i % 11 + 1),
            format!("{i},{i},{},{i}\n", 1_585_000_000 + i * 86_400),
            format!("{i},{i},{call}\n"),
            format!("{i},{i},{visit}\n"),
        ];
        for ((_, text), line) in files.iter_mut().zip(lines) {
            text.push_str(&line);
        }
    }
    files
}

#[tokio::test]
async fn a_missed_time_is_a_suspect_wherever_rows_inherit_theirs() {
    let files = missed_times();
    let mut files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let source = folder(&files);
    let opened = database(source.path()).await;
    let catalog = load(&opened, None).await.unwrap();
    let table = |name: &str| catalog.schema.table(catalog.schema.find_table(name).unwrap());
    assert_eq!(table("returns").time_column.as_deref(), Some("opened"));
    for name in ["parcels", "scans", "calls", "visits"] {
        assert!(matches!(table(name).known_from, KnownFrom::Parents(_)), "{name}");
    }
    let inspection = inspect(&opened, &catalog).await.unwrap();
    let found = time_likes(&inspection);
    let places: Vec<&str> = found.iter().map(|(_, place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        ["calls.call_time", "parcels.sent", "scans.scanned_at", "visits.visit_date"]
    );
    assert!(found.iter().all(|(kind, _, _)| *kind == FindingKind::InheritsWithTimes));
    let evidence = [
        "(a timestamp, NULL in 5 of 40 rows)",
        "(40 of 40 values are written as dates)",
        "(numbers that count seconds since 1970)",
        "(39 of 40 values are times; 1 are none, the first \"soon\" in line 8)",
    ];
    for ((_, _, text), evidence) in found.iter().zip(evidence) {
        assert!(text.contains(evidence) && text.contains("known with orders"), "{text}");
    }
    let odd = inspection.findings.iter().find(|f| f.kind == FindingKind::OddCells).unwrap();
    assert_eq!((odd.table.as_str(), odd.column.as_deref()), ("visits", Some("visit_date")));

    // Whoever trains a model of any table that is linked is told.
    let doubts = catalog.time_doubts(catalog.schema.find_table("returns").unwrap());
    assert_eq!(doubts.len(), 4, "{doubts:?}");
    assert!(doubts[0].starts_with("table \"calls\" has no time column"), "{doubts:?}");
    // A proposal leaves it to a person to say that there is no time.
    let yaml = relcast_catalog::propose_yaml(&catalog);
    assert!(yaml.contains("# time_column: null  # or sent?"), "{yaml}");

    let says = "tables:\n  parcels: { time_column: null }\n  scans: { time_column: null }\n  \
        calls: { time_column: call_time }\n  visits: { time_column: null }\n";
    files.push(("relcast.yaml", says));
    let source = folder(&files);
    let opened = database(source.path()).await;
    let catalog = load(&opened, None).await.unwrap();
    assert!(time_likes(&inspect(&opened, &catalog).await.unwrap()).is_empty());
    assert!(catalog.time_like.is_empty());
}

#[tokio::test]
async fn keys_with_zeros_before_them_stay_apart_and_link() {
    let files = [
        ("users.csv", "user_id,age\n007,20\n7,30\n100,40\n"),
        ("visits.csv", "id,user_id,at\n1,007,2020-01-01\n2,7,2020-01-02\n3,100,2020-01-03\n"),
        // Nothing in this file says that its numbers are text.
        ("calls.csv", "id,user_id,at\n1,100,2020-01-01\n2,7,2020-01-02\n"),
    ];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let inspection = inspect(&database, &catalog).await.unwrap();
    assert_eq!(inspection.tables.iter().map(|t| t.duplicate_keys).sum::<u64>(), 0);
    let edges: Vec<(&str, u64, u64)> =
        inspection.links.iter().map(|l| (l.link.as_str(), l.edges, l.dangling)).collect();
    assert_eq!(edges, [("calls.user_id", 2, 0), ("visits.user_id", 3, 0)]);
}

#[tokio::test]
async fn years_in_keys_unnamed_moments_and_dates_with_the_year_first_look_like_times() {
    let mut files = [
        ("orders.csv", "order_id,placed_at\n".to_owned()),
        ("notes.csv", "note_id,order_id,created\n".to_owned()),
        ("pings.csv", "ping_id,order_id,amount\n".to_owned()),
        ("ratings.csv", "rating_id,order_id,yearID\n".to_owned()),
        ("scans.csv", "scan_id,order_id,stamp\n".to_owned()),
    ];
    for i in 1..=40 {
        let month = ["Jan", "feb", "MAR"][i % 3];
        let lines = [
            format!("{i},2020-03-{:02}\n", i % 28 + 1),
            format!("{i},{i},2018 {month} {}\n", i % 28 + 1),
            format!("{i},{i},{}\n", 1_585_000_000 + i * 86_400),
            format!("{i},{i},{}\n", 2019 + i % 4),
            format!("{i},{i},{}\n", 1_585_000_000 + i % 4),
        ];
        for ((_, text), line) in files.iter_mut().zip(lines) {
            text.push_str(&line);
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let source = folder(&files);
    let opened = database(source.path()).await;
    let catalog = load(&opened, None).await.unwrap();
    let found = time_likes(&inspect(&opened, &catalog).await.unwrap());
    let places: Vec<&str> = found.iter().map(|(_, place, _)| place.as_str()).collect();
    assert_eq!(places, ["notes.created", "pings.amount", "ratings.yearID", "scans.stamp"]);
}

#[tokio::test]
async fn zeros_before_numbers_keep_no_link_away() {
    let (mut stores, mut sales) = ("store_id,size\n".to_owned(), "id,store_id\n".to_owned());
    for i in 1..=40 {
        stores.push_str(&format!("{i:03},{}\n", i * 7));
        sales.push_str(&format!("{i},{i}\n"));
    }
    let catalog = try_load(&[("stores.csv", &stores), ("sales.csv", &sales)]).await.unwrap();
    let links: Vec<String> =
        catalog.schema.links.iter().map(|l| catalog.schema.link_name(l)).collect();
    assert_eq!(links, ["sales.store_id"]);
}

#[tokio::test]
async fn a_name_that_fits_is_told_though_no_value_does() {
    let files = [
        ("stores.csv", "store_id,size\nS1,20\nS2,30\nS3,40\n"),
        ("sales.csv", "id,store_id,note_id\n1,1,\n2,2,\n3,3,\n"),
        ("notes.csv", "note_id,text\n1,a\n2,b\n"),
    ];
    let catalog = try_load(&files).await.unwrap();
    assert!(catalog.schema.links.is_empty());
    let doubtful: Vec<_> =
        catalog.proposals.iter().filter(|p| p.what.contains("perhaps")).collect();
    assert_eq!(doubtful.len(), 1, "{doubtful:?}");
    assert_eq!(doubtful[0].what, "perhaps link store_id → stores (not used)");
    assert!(doubtful[0].evidence.contains("0 of 3"), "{doubtful:?}");
}

#[tokio::test]
async fn what_is_not_read_is_told() {
    let files = [("users.csv", "user_id,age\n1,20\n"), ("orders.csv.gz", "")];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    let text = inspect(&database, &catalog).await.unwrap().to_text();
    assert!(text.contains("orders.csv.gz") && text.contains("is not read"), "{text}");
}
