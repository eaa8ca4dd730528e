#![allow(clippy::unwrap_used)]
mod common;
use common::{data_dir, database};
use relcast_catalog::{inspect, load};
#[tokio::test]
async fn print() {
    let data = data_dir().unwrap();
    for name in [
        "rel-f1",
        "stackexchange-bicycles-meta",
        "complete-journey",
        "tennis-atp",
        "lahman-baseball",
    ] {
        for sub in ["", "db"] {
            let t = std::time::Instant::now();
            let db = database(&data.join(name).join(sub)).await;
            let opened = t.elapsed();
            let c = load(&db, None).await.unwrap();
            let loaded = t.elapsed();
            let i = inspect(&db, &c).await.unwrap();
            println!(
                "##### {name} {sub} open {opened:?} load {loaded:?} inspect {:?}",
                t.elapsed()
            );
            println!("{}", i.to_text());
            if name == "rel-f1" && sub == "" {
                println!("{}\n{}", i.to_dot(), relcast_catalog::propose_yaml(&c.schema));
            }
        }
    }
}
