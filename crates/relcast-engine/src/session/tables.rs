//! Tables that SQL created: Parquet files of the home folder, one folder per database.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use datafusion::common::TableReference;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{CreateMemoryTable, DmlStatement, DropTable, LogicalPlan, WriteOp};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use relcast_connect::{Database, FileWriter, Target};
use xxhash_rust::xxh3::xxh3_64;

use super::copy::filled;
use super::{Answer, Session};
use crate::error::EngineError;
use crate::home::Home;

/// Makes the tables that were created over `database` earlier known to it; one that cannot be read
/// is told and left out.
pub(super) async fn open(home: &Home, database: &Database) -> Result<(), EngineError> {
    let folder = folder(home, database);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(EngineError::file("read", &folder))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let is_table = path.extension().is_some_and(|e| e == "parquet");
        if let Some(name) = name.filter(|name| is_table && !name.starts_with('.')) {
            // One damaged file must not stand in the way of all other statements.
            if let Err(error) = register(&database.context, name, &path).await {
                tracing::warn!(
                    "table \"{name}\" is left out: {error}; DROP TABLE removes it ({})",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// The folder of the tables that were created over `database`.
fn folder(home: &Home, database: &Database) -> PathBuf {
    home.tables().join(place_of(database))
}

/// A name for where `database` lies, whatever it holds.
pub(super) fn place_of(database: &Database) -> String {
    let place = database.directory.canonicalize();
    let place = place.unwrap_or_else(|_| database.directory.clone());
    format!("{:016x}", xxh3_64(place.as_os_str().as_encoded_bytes()))
}

async fn register(context: &SessionContext, name: &str, path: &Path) -> Result<(), EngineError> {
    let url = relcast_connect::file_url(path).map_err(EngineError::file("read", path))?;
    let frame = context.read_parquet(url, ParquetReadOptions::default()).await?;
    let table = TableReference::bare(name);
    context.deregister_table(table.clone())?;
    context.register_table(table, frame.into_view())?;
    Ok(())
}

fn row_count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

impl Session {
    /// `CREATE TABLE t AS …`
    pub(super) async fn create_table(
        &self,
        create: CreateMemoryTable,
    ) -> Result<Answer, EngineError> {
        let name = self.own_name(&create.name)?;
        if !self.may_create(&name, &create).await? {
            return Ok(Answer::done("CREATE TABLE"));
        }
        // Beside its place until it is finished; until then it is nobody's.
        let _writing = self.writing().await?;
        let path = self.file(&name);
        let rows = self.stream(create.input.as_ref().clone()).await?;
        let file = filled(FileWriter::parquet(&path, rows.schema())?, rows).await?;
        let _alone = self.lock_table(&name).await?;
        // Somebody else may have created it while the rows were computed.
        if !self.may_create(&name, &create).await? {
            return Ok(Answer::done("CREATE TABLE"));
        }
        let is_new = !path.exists();
        let count = file.finish()?;
        if let Err(error) = register(&self.context, &name, &path).await {
            if is_new {
                std::fs::remove_file(&path).map_err(EngineError::file("remove", &path))?;
            }
            return Err(error);
        }
        Ok(Answer::done(&format!("SELECT {count}")))
    }

    /// Whether the table is to be created: it is not there, or is to be replaced.
    async fn may_create(
        &self,
        name: &str,
        create: &CreateMemoryTable,
    ) -> Result<bool, EngineError> {
        if !self.context.table_exist(TableReference::bare(name))? {
            // Another process may have made a view of that name.
            self.check_no_view(name).await?;
            return Ok(true);
        }
        if create.if_not_exists {
            self.watcher.notice(&format!("table \"{name}\" exists already: nothing is done"));
            return Ok(false);
        }
        if !create.or_replace || !self.file(name).exists() {
            return Err(EngineError::TableExists { table: name.to_owned() });
        }
        Ok(true)
    }

    /// `INSERT INTO t …`
    pub(super) async fn insert(&self, insert: DmlStatement) -> Result<Answer, EngineError> {
        let name = self.changed_name(&insert.table_name).await?;
        let inserted = self.computed(insert.input.as_ref().clone()).await?;
        let rows = row_count(&inserted);
        let _alone = self.lock_table(&name).await?;
        // What stands there now, and not when the statement was planned.
        let table = self.context.table(TableReference::bare(name.as_str())).await?;
        let types = Arc::new(table.schema().as_arrow().clone());
        let appends = matches!(insert.op, WriteOp::Insert(InsertOp::Append));
        let mut batches = if appends { table.collect().await? } else { Vec::new() };
        for batch in inserted {
            let columns = batch.columns().iter().zip(types.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()));
            batches.push(RecordBatch::try_new(types.clone(), columns.collect::<Result<_, _>>()?)?);
        }
        self.write(&self.file(&name), &batches).await?;
        Ok(Answer::done(&format!("INSERT 0 {rows}")))
    }

    /// `DROP TABLE t`: one that was created here, never one of the database.
    pub(super) async fn drop_table(&self, drop: &DropTable) -> Result<Answer, EngineError> {
        let name = match self.changed_name(&drop.name).await {
            Err(EngineError::ReadOnly { .. }) if !self.is_there(&drop.name) => {
                if drop.if_exists {
                    return Ok(Answer::done("DROP TABLE"));
                }
                let message = format!("no table \"{}\"", drop.name.table());
                return Err(EngineError::Sql { at: None, message, hint: None });
            }
            created => created?,
        };
        let _alone = self.lock_table(&name).await?;
        let path = self.file(&name);
        if path.exists() {
            std::fs::remove_file(&path).map_err(EngineError::file("remove", &path))?;
        }
        self.context.deregister_table(TableReference::bare(name.as_str()))?;
        self.tell_dependants(&name).await?;
        Ok(Answer::done("DROP TABLE"))
    }

    fn is_there(&self, table: &TableReference) -> bool {
        self.context.table_exist(table.clone()).is_ok_and(|there| there)
    }

    /// The rows of `input`: at least one batch, which may be empty.
    async fn computed(&self, input: LogicalPlan) -> Result<Vec<RecordBatch>, EngineError> {
        let frame = self.statement_context().execute_logical_plan(input).await?;
        let schema = frame.schema().inner().clone();
        let mut batches = frame.collect().await.map_err(EngineError::of_datafusion)?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    /// Puts the rows in the file's place, whole or not at all.
    async fn write(&self, path: &Path, batches: &[RecordBatch]) -> Result<(), EngineError> {
        let _writing = self.writing().await?;
        relcast_connect::write(&Target::Parquet(path.to_owned()), batches).await?;
        Ok(())
    }

    /// The folder of the tables is there, and until this is dropped, nobody takes for left behind what
    /// is being written in it.
    async fn writing(&self) -> Result<File, EngineError> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(EngineError::file("create", &folder))?;
        self.engine.registry.home().writing_tables().await
    }

    /// Until it is dropped, nobody else writes the table.
    async fn lock_table(&self, name: &str) -> Result<File, EngineError> {
        self.engine.registry.home().lock_table(&self.file(name)).await
    }

    /// The name, as it was created, of a table that SQL created; it is found in any case.
    fn created_name(&self, table: &TableReference) -> Result<String, EngineError> {
        let name = self.own_name(table)?;
        if self.file(&name).exists() {
            return Ok(name);
        }
        let same = |other: &String| other.to_lowercase() == name.to_lowercase();
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            Some(entry.file_name().to_str()?.strip_suffix(".parquet")?.to_owned())
        });
        let mut found = names.filter(same);
        match (found.next(), found.next()) {
            (Some(created), None) => Ok(created),
            _ => Err(EngineError::ReadOnly { table: name }),
        }
    }

    /// The same for a statement that changes the table, which is not for views.
    async fn changed_name(&self, table: &TableReference) -> Result<String, EngineError> {
        let name = self.created_name(table);
        if name.is_err() {
            self.check_no_view(table.table()).await?;
        }
        name
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.parquet"))
    }

    fn folder(&self) -> PathBuf {
        folder(self.engine.registry.home(), &self.engine.database)
    }

    /// The name of a table of the session's own schema; it is also the name of a file.
    pub(super) fn own_name(&self, table: &TableReference) -> Result<String, EngineError> {
        let name = table.table().to_owned();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        let fits = !name.is_empty() && name.len() <= 200 && name.chars().all(plain);
        match (table.schema(), fits) {
            (None | Some("public"), true) => Ok(name),
            (Some(_), _) => Err(EngineError::ReadOnly { table: table.to_string() }),
            (_, false) => Err(EngineError::Sql {
                at: None,
                message: format!("\"{name}\" cannot be the name of a table"),
                hint: Some("use letters, digits, \"_\" and \"-\"".to_owned()),
            }),
        }
    }
}
