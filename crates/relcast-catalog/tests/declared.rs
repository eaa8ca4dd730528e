//! Declarations are read, merged and checked; what is wrong is named with the nearest name.

#![allow(clippy::unwrap_used)]

mod common;

use common::{database, error_of, folder, try_load};
use relcast_catalog::{KnownFrom, Schema, SemanticType, load, propose_yaml};

const CUSTOMERS: (&str, &str) =
    ("customers.csv", "customer_id,name,joined\n1,Ann,2020-01-01\n2,Bo,2020-02-01\n");
const ORDERS: (&str, &str) = (
    "orders.csv",
    "order_id,customer_id,created_at,updated_at,due,amount\n\
     1,1,2020-03-01,2020-03-02,2020-04-01,1.5\n2,1,2020-03-05,2020-03-06,2020-04-05,2.5\n3,9,2020-03-07,2020-03-07,2020-04-07,2.5\n",
);
const MANIFEST: &str = "name: shop\nval_timestamp: '2020-03-05'\ntest_timestamp: '2020-03-06 12:00:00'\ntables:\n  \
    customers: { pkey: customer_id, time_col: joined, fkeys: {} }\n  \
    orders:\n    pkey: order_id\n    time_col: created_at\n    fkeys:\n      customer_id: customers\n";

#[tokio::test]
async fn a_manifest_declares_keys_links_and_times() {
    let catalog = try_load(&[CUSTOMERS, ORDERS, ("manifest.yaml", MANIFEST)]).await.unwrap();
    let schema = &catalog.schema;
    assert_eq!(schema.val_timestamp, Some(1_583_366_400_000_000));
    let orders = schema.table(schema.find_table("orders").unwrap());
    assert_eq!(orders.primary_key, ["order_id"]);
    assert_eq!(orders.known_from, KnownFrom::TimeColumn("created_at".to_owned()));
    assert_eq!(schema.links.len(), 1);
    assert_eq!(schema.link_name(&schema.links[0]), "orders.customer_id");
    assert_eq!(orders.find_column("customer_id").unwrap().semantic, SemanticType::Key);
    assert_eq!(orders.find_column("amount").unwrap().semantic, SemanticType::Numerical);
}

#[tokio::test]
async fn columns_that_a_task_removes_are_ignored_by_its_models_alone() {
    let task = |removed: &str| {
        format!(
            "task_type: regression\nentity_table: customers\nentity_col: customer_id\n\
             target_col: spent\ntime_col: timestamp\ntimedelta: 5 days\nsql: SELECT 1\n\
             remove_columns: {removed}\n"
        )
    };
    let loaded = async |removed: &str| {
        let manifest = task(removed);
        let files = [
            CUSTOMERS,
            ORDERS,
            ("manifest.yaml", MANIFEST),
            ("tasks/spending/manifest.yaml", manifest.as_str()),
        ];
        try_load(&files).await.unwrap()
    };
    let catalog = loaded("{ orders: [amount, order_id], customers: name }").await;
    let schema =
        catalog.find_task("spending").unwrap().schema_of_inputs(catalog.schema.clone()).unwrap();
    let semantic = |schema: &Schema, table: &str, column: &str| {
        schema.table(schema.find_table(table).unwrap()).find_column(column).unwrap().semantic
    };
    for (table, column) in [("orders", "amount"), ("customers", "name")] {
        assert_eq!(semantic(&schema, table, column), SemanticType::Ignored, "{column}");
        assert_ne!(semantic(&catalog.schema, table, column), SemanticType::Ignored, "{column}");
    }
    for (table, column) in [("orders", "order_id"), ("orders", "updated_at")] {
        let before = semantic(&catalog.schema, table, column);
        assert_eq!(semantic(&schema, table, column), before, "{column}");
    }
    let catalog = loaded("{ orders: customer_id }").await;
    let task = catalog.find_task("spending").unwrap();
    let error = task.schema_of_inputs(catalog.schema.clone()).unwrap_err().to_string();
    assert!(error.contains("removes orders.customer_id, a foreign key"), "{error}");
}

#[tokio::test]
async fn a_schema_file_goes_before_the_manifest() {
    let yaml = "tables:\n  orders:\n    time_column: updated_at\n    end_time_column: due\n    foreign_keys:\n    columns:\n      \
        amount: { type: categorical }\n      due: { planned: true }\n      customer_id: { known_from: updated_at, ignored: true }\n";
    let files = [CUSTOMERS, ORDERS, ("manifest.yaml", MANIFEST), ("relcast.yaml", yaml)];
    let catalog = try_load(&files).await.unwrap();
    let orders = catalog.schema.table(catalog.schema.find_table("orders").unwrap());
    assert_eq!(orders.primary_key, ["order_id"], "what isn't said stays");
    assert_eq!(orders.time_column.as_deref(), Some("updated_at"));
    assert_eq!(orders.end_time_column.as_deref(), Some("due"));
    assert!(catalog.schema.links.is_empty(), "an empty key declares none");
    assert_eq!(orders.find_column("amount").unwrap().semantic, SemanticType::Categorical);
    assert!(orders.find_column("due").unwrap().planned);
    let customer = orders.find_column("customer_id").unwrap();
    assert_eq!(
        (customer.semantic, customer.known_from.as_deref()),
        (SemanticType::Ignored, Some("updated_at"))
    );
}

#[tokio::test]
async fn rows_after_the_validation_split_change_no_semantic_type() {
    let table = |later: &[&str]| {
        let mut text = "id,order_id,kind,at\n".to_owned();
        for i in 1..=100 {
            text.push_str(&format!(
                "{i},{},{},2020-03-0{}\n",
                i % 40 + 1,
                ["a", "b"][i % 2],
                i % 4 + 1
            ));
        }
        for (i, kind) in later.iter().enumerate() {
            text.push_str(&format!("{},{},{kind},2020-04-01\n", i + 101, i + 101));
        }
        // Without a time of its own, a line is known with its event.
        let mut lines = "event_id,note\n".to_owned();
        for i in 1..=100 + later.len() {
            let note = if i <= 100 { "x".repeat(i % 3 + 1) } else { format!("note {i}") };
            lines.push_str(&format!("{i},{note}\n"));
        }
        (text, lines)
    };
    let yaml = "val_timestamp: 2020-03-31\ntables:\n  events: { primary_key: id, time_column: at, foreign_keys: {} }\n  \
        lines: { primary_key: null, time_column: null, foreign_keys: { event_id: events } }\n";
    let many: Vec<String> = (0..200).map(|i| format!("word {i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut schemas = Vec::new();
    for later in [&[][..], &many[..]] {
        let (events, lines) = table(later);
        let files = [
            ("events.csv", events.as_str()),
            ("lines.csv", lines.as_str()),
            ("relcast.yaml", yaml),
        ];
        schemas.push(try_load(&files).await.unwrap().schema);
    }
    let events = schemas[0].table(schemas[0].find_table("events").unwrap());
    assert_eq!(events.find_column("kind").unwrap().semantic, SemanticType::Categorical);
    assert_eq!(schemas[0], schemas[1]);
}

#[tokio::test]
async fn semantic_types_can_be_inferred_from_what_is_known_at_a_moment() {
    // Twenty rows of January; later ones, and cells of the old ones that are known later.
    let table = |later: bool| {
        let mut text = "id,at,kind,note,paid_at,sum,size\n".to_owned();
        for i in 1..=20 {
            let (kind, day) = (["a", "b"][i % 2], i);
            // The last is paid in any case: a column of nothing is no time.
            let (paid, sum, size) = match later || i == 20 {
                true => (format!("2020-03-{day:02}"), format!("{i}.5"), "7"),
                false => (String::new(), String::new(), "7"),
            };
            text.push_str(&format!("{i},2020-01-{day:02},{kind},same,{paid},{sum},{size}\n"));
        }
        for i in 21..=90 * usize::from(later) {
            text.push_str(&format!("{i},2020-02-01,word {i},note {i},,{i},{i}\n"));
        }
        text
    };
    let yaml = "tables:\n  bills:\n    primary_key: id\n    time_column: at\n    foreign_keys: {}\n    \
        columns: { sum: { known_from: paid_at }, size: { type: numerical } }\n";
    let until = relcast_catalog::parse_time("2020-01-31").unwrap();
    let mut types = Vec::new();
    for later in [false, true] {
        let text = table(later);
        let folder = folder(&[("bills.csv", text.as_str()), ("relcast.yaml", yaml)]);
        let database = database(folder.path()).await;
        let catalog = load(&database, None).await.unwrap();
        let schema = catalog.schema_known_at(&database, until).await.unwrap();
        let of = |schema: &Schema| {
            schema.tables[0].columns.iter().map(|c| c.semantic).collect::<Vec<_>>()
        };
        types.push((of(&schema), of(&catalog.schema)));
    }
    use SemanticType::{Categorical, Ignored, Key, Numerical, Text, Timestamp};
    let known = [Key, Timestamp, Categorical, Ignored, Ignored, Ignored, Numerical];
    assert_eq!(types[0].0, known);
    assert_eq!(types[1].0, known);
    assert_eq!(types[1].1, [Key, Timestamp, Text, Text, Timestamp, Numerical, Numerical]);
}

#[tokio::test]
async fn composite_keys_are_lists_and_links_name_columns_with_commas() {
    let files = [
        ("seats.csv", "hall,seat,price\n1,1,5\n1,2,6\n2,1,7\n"),
        ("bookings.csv", "id,hall_no,seat_no,at\n1,1,2,2020-01-01\n2,3,3,2020-01-02\n"),
        (
            "relcast.yaml",
            "tables:\n  seats: { primary_key: [hall, seat] }\n  bookings:\n    foreign_keys: { \"hall_no, seat_no\": seats }\n",
        ),
    ];
    let catalog = try_load(&files).await.unwrap();
    assert_eq!(catalog.schema.link_name(&catalog.schema.links[0]), "bookings.(hall_no, seat_no)");
    let narrow = (
        "relcast.yaml",
        "tables:\n  seats: { primary_key: [hall, seat] }\n  bookings: { foreign_keys: { hall_no: seats } }\n",
    );
    let message = error_of(&[files[0], files[1], narrow]).await;
    assert!(message.contains("1 column(s)") && message.contains("has 2"), "{message}");
}

#[tokio::test]
async fn wrong_names_are_errors_with_the_nearest_name() {
    let with = |yaml: &'static str| [CUSTOMERS, ORDERS, ("relcast.yaml", yaml)];
    let cases = [
        ("tables: { custmers: {} }", "no table \"custmers\"", "\"customers\""),
        ("tables: { orders: { primary_key: orderid } }", "no column \"orderid\"", "\"order_id\""),
        (
            "tables: { orders: { time_column: create_at } }",
            "no column \"create_at\"",
            "\"created_at\"",
        ),
        (
            "tables: { orders: { foreign_keys: { customerid: customers } } }",
            "no column",
            "\"customer_id\"",
        ),
        (
            "tables: { orders: { foreign_keys: { customer_id: customer } } }",
            "no table \"customer\"",
            "\"customers\"",
        ),
        (
            "tables: { orders: { columns: { amont: { type: text } } } }",
            "no column \"amont\"",
            "\"amount\"",
        ),
        (
            "tables: { orders: { columns: { due: { known_from: updatedat } } } }",
            "no column",
            "\"updated_at\"",
        ),
        ("tables: { orders: { primary_keys: order_id } }", "primary_keys", "primary_key"),
        ("tables: { orders: { time_column: amount } }", "can't be a time column", "timestamp"),
        (
            "tables: { orders: { columns: { amount: { type: text } } } }",
            "can't be text",
            "needs text",
        ),
        (
            "tables: { orders: { primary_key: null, columns: {} }, customers: { primary_key: [], foreign_keys: { name: orders } } }",
            "no primary key",
            "orders",
        ),
        ("val_timestamp: soon", "val_timestamp", "2020-01-31"),
        (
            "tables: { orders: { columns: { order_id: { known_from: updated_at } } } }",
            "orders.order_id is its primary key",
            "time_column",
        ),
        (
            "tables: { orders: { foreign_keys: { customer_id: customers }, columns: { customer_id: { known_from: updated_at } } } }",
            "orders.customer_id is a foreign key",
            "foreign_keys without this one",
        ),
        (
            "tables: { orders: { time_column: created_at, columns: { created_at: { known_from: updated_at } } } }",
            "orders.created_at is its time column",
            "the later of the two",
        ),
        (
            "tables: { orders: { end_time_column: due, columns: { due: { known_from: updated_at } } } }",
            "orders.due is its end time column",
            "leave one of the two out",
        ),
    ];
    for (yaml, what, hint) in cases {
        let message = error_of(&with(yaml)).await;
        assert!(message.contains("relcast.yaml"), "{message}");
        assert!(message.contains(what) && message.contains(hint), "{yaml}: {message}");
    }
    let manifest = MANIFEST.replace("  orders:\n", "  ordrs:\n");
    let message = error_of(&[CUSTOMERS, ORDERS, ("manifest.yaml", manifest.as_str())]).await;
    assert!(message.contains("manifest.yaml") && message.contains("\"orders\""), "{message}");
    let manifest = MANIFEST.replace("val_timestamp", "val_timestmp");
    let message = error_of(&[CUSTOMERS, ORDERS, ("manifest.yaml", manifest.as_str())]).await;
    assert!(message.contains("did you mean \"val_timestamp\""), "{message}");
}

#[tokio::test]
async fn circles_and_self_links_load() {
    let files = [
        ("a.csv", "id,b_id,up\n1,1,\n2,1,1\n"),
        ("b.csv", "id,a_id\n1,2\n"),
        (
            "relcast.yaml",
            "tables:\n  a: { primary_key: id, foreign_keys: { b_id: b, up: a } }\n  b: { primary_key: id, foreign_keys: { a_id: a } }\n",
        ),
    ];
    let folder = folder(&files);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    assert_eq!(catalog.schema.links.len(), 3);
    assert!(catalog.schema.tables.iter().all(|t| t.known_from == KnownFrom::Static));
    let inspection = relcast_catalog::inspect(&database, &catalog).await.unwrap();
    assert_eq!(inspection.edges, 4);
}

#[tokio::test]
async fn tasks_are_read_and_checked() {
    let task = "kind: forecast\ntask_type: recommendation\nsrc_entity_table: customers\nsrc_entity_col: customer_id\n\
        dst_entity_table: orders\ndst_entity_col: order_id\ntime_col: date\neval_k: 10\ntimedelta: 30 days\ntrain_start: '2020-01-01'\nsql: SELECT 1\n";
    let files =
        [CUSTOMERS, ORDERS, ("manifest.yaml", MANIFEST), ("tasks/next/manifest.yaml", task)];
    let catalog = try_load(&files).await.unwrap();
    let found = catalog.find_task("next").unwrap();
    assert_eq!(
        (found.entity_table.as_str(), found.entity_col.as_str()),
        ("customers", "customer_id")
    );
    assert_eq!((found.target_col.as_str(), found.eval_k), ("order_id", Some(10)));
    assert_eq!(found.train_start, Some(1_577_836_800_000_000));
    let message = catalog.find_task("nxt").unwrap_err().to_string();
    assert!(message.contains("did you mean \"next\""), "{message}");

    let wrong = task.replace("customer_id", "customerid");
    let files = [
        CUSTOMERS,
        ORDERS,
        ("manifest.yaml", MANIFEST),
        ("tasks/next/manifest.yaml", wrong.as_str()),
    ];
    let message = error_of(&files).await;
    assert!(message.contains("next") && message.contains("\"customer_id\""), "{message}");
}

#[tokio::test]
async fn a_proposed_file_reads_back_as_the_same_schema() {
    let inferred = folder(&[CUSTOMERS, ORDERS]);
    let catalog = load(&database(inferred.path()).await, None).await.unwrap();
    let yaml = propose_yaml(&catalog);
    std::fs::write(inferred.path().join("relcast.yaml"), &yaml).unwrap();
    let mut again = load(&database(inferred.path()).await, None).await.unwrap();
    // What was a proposal is declared now.
    assert!(!std::mem::take(&mut again.schema.declared_types).is_empty());
    assert_eq!(again.schema, catalog.schema, "{yaml}");
}

#[tokio::test]
async fn what_is_declared_twice_is_refused() {
    let twice = [
        (
            "tables:\n  orders: { primary_key: order_id }\n  orders: { time_column: null }\n",
            "orders",
        ),
        (
            "tables:\n  orders:\n    columns:\n      a: { ignored: true }\n      a: { planned: true }\n",
            "a",
        ),
        ("tables:\n  orders:\n    foreign_keys:\n      b: customers\n      b: orders\n", "b"),
    ];
    for (yaml, name) in twice {
        let message = error_of(&[CUSTOMERS, ORDERS, ("relcast.yaml", yaml)]).await;
        let expected = format!("{name:?} is given twice");
        assert!(message.contains(&expected) && message.contains("at line"), "{message}");
    }
}

#[tokio::test]
async fn a_declared_type_goes_before_what_the_cells_say() {
    let files = [
        ("sales.csv", "id,at,amount,kind\n1,2020-01-01,2.5,7\n2,soon,n/a,8\nx,,,\n"),
        (
            "relcast.yaml",
            "tables: { sales: { primary_key: id, time_column: at, columns: { amount: { type: numerical }, kind: { type: categorical } } } }\n",
        ),
    ];
    let folder = folder(&files);
    let declared = relcast_catalog::column_types(folder.path(), None).unwrap();
    let (db, options) = (folder.path().to_str().unwrap(), relcast_connect::OpenOptions::default());
    let database = relcast_connect::open_as(db, &options, &declared).await.unwrap();
    let catalog = load(&database, None).await.unwrap();
    let table = catalog.schema.table(catalog.schema.find_table("sales").unwrap());
    let amount = table.find_column("amount").unwrap();
    assert_eq!(amount.data_type, arrow::datatypes::DataType::Float64);
    assert_eq!(amount.semantic, SemanticType::Numerical);
    assert_eq!(table.time_column.as_deref(), Some("at"));
    // A key is never NULL for its looks.
    assert_eq!(table.find_column("id").unwrap().data_type, arrow::datatypes::DataType::Utf8);
    let inspection = relcast_catalog::inspect(&database, &catalog).await.unwrap();
    let is_odd = |f: &&relcast_catalog::Finding| f.kind == relcast_catalog::FindingKind::OddCells;
    let told: Vec<&str> =
        inspection.findings.iter().filter(is_odd).map(|f| f.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "1 of 2 values are numbers; 1 are none, the first \"n/a\" in line 3; until they are corrected, they are read as NULL",
            "1 of 2 values are times; 1 are none, the first \"soon\" in line 3; until they are corrected, they are read as NULL",
        ]
    );
}
