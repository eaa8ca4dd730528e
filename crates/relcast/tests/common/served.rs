//! `relcast serve` over the small shop.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::{QUERY, shop};

/// A server over the small shop; ends with its owner.
pub struct Served {
    process: Child,
    pub port: u16,
    pub shop: TempDir,
}

impl Served {
    pub fn start(more: &[&str]) -> Self {
        Self::over(shop(), more)
    }

    pub fn over(shop: TempDir, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_relcast"))
            .current_dir(shop.path())
            .args(["serve", "--db", ".", "--pg", "127.0.0.1:0"])
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("the server says where it listens").unwrap();
            if let Some((_, rest)) = line.split_once("listening at 127.0.0.1:") {
                break rest.split(':').next().unwrap().parse().unwrap();
            }
        };
        // A full pipe would hold the server up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port, shop }
    }

    pub async fn connect(&self) -> Client {
        self.connect_as("user=ana").await.unwrap()
    }

    pub async fn connect_as(&self, who: &str) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} dbname=relcast {who}", self.port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub fn create_model(&self) -> String {
        format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
