//! Tables that SQL created: Parquet files of the home folder, one folder per database.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use datafusion::common::TableReference;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{CreateMemoryTable, DmlStatement, DropTable, LogicalPlan, WriteOp};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use relcast_connect::{Database, Target};
use xxhash_rust::xxh3::xxh3_64;

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
pub(super) fn folder(home: &Home, database: &Database) -> PathBuf {
    let place = database.directory.canonicalize();
    let place = place.unwrap_or_else(|_| database.directory.clone());
    let name = format!("{:016x}", xxh3_64(place.as_os_str().as_encoded_bytes()));
    home.tables().join(name)
}

async fn register(context: &SessionContext, name: &str, path: &Path) -> Result<(), EngineError> {
    let url = relcast_connect::file_url(path).map_err(EngineError::file("read", path))?;
    let frame = context.read_parquet(url, ParquetReadOptions::default()).await?;
    let table = TableReference::bare(name);
    context.deregister_table(table.clone())?;
    context.register_table(table, frame.into_view())?;
    Ok(())
}

impl Session {
    /// `CREATE TABLE t AS …`
    pub(super) async fn create_table(
        &self,
        create: CreateMemoryTable,
    ) -> Result<Answer, EngineError> {
        let name = self.own_name(&create.name)?;
        if self.context.table_exist(TableReference::bare(name.as_str()))? {
            if create.if_not_exists {
                self.watcher.notice(&format!("table \"{name}\" exists already: nothing is done"));
                return Ok(Answer::done("CREATE TABLE"));
            }
            if !create.or_replace || !self.file(&name).exists() {
                return Err(EngineError::TableExists { table: name });
            }
        }
        self.check_no_view(&name).await?;
        let rows = self.write(&name, create.input.as_ref().clone(), None).await?;
        Ok(Answer::done(&format!("SELECT {rows}")))
    }

    /// `INSERT INTO t …`
    pub(super) async fn insert(&self, insert: DmlStatement) -> Result<Answer, EngineError> {
        let name = self.own_name(&insert.table_name)?;
        if !self.file(&name).exists() {
            self.check_no_view(&name).await?;
            return Err(EngineError::ReadOnly { table: name });
        }
        let table = self.context.table(TableReference::bare(name.as_str())).await?;
        let appends = matches!(insert.op, WriteOp::Insert(InsertOp::Append));
        let before = if appends { table.collect().await? } else { Vec::new() };
        let rows = self.write(&name, insert.input.as_ref().clone(), Some(before)).await?;
        Ok(Answer::done(&format!("INSERT 0 {rows}")))
    }

    /// `DROP TABLE t`: one that was created here, never one of the database.
    pub(super) async fn drop_table(&self, drop: &DropTable) -> Result<Answer, EngineError> {
        let name = self.own_name(&drop.name)?;
        let path = self.file(&name);
        if !path.exists() {
            self.check_no_view(&name).await?;
            if self.context.table_exist(TableReference::bare(name.as_str()))? {
                return Err(EngineError::ReadOnly { table: name });
            }
            if drop.if_exists {
                return Ok(Answer::done("DROP TABLE"));
            }
            return Err(EngineError::Sql {
                at: None,
                message: format!("no table \"{name}\""),
                hint: None,
            });
        }
        std::fs::remove_file(&path).map_err(EngineError::file("remove", &path))?;
        self.context.deregister_table(TableReference::bare(name.as_str()))?;
        self.tell_dependants(&name).await?;
        Ok(Answer::done("DROP TABLE"))
    }

    /// Computes the rows of `input` and puts them, after those of `before`, in the table's place.
    async fn write(
        &self,
        name: &str,
        input: LogicalPlan,
        before: Option<Vec<RecordBatch>>,
    ) -> Result<usize, EngineError> {
        let frame = self.statement_context().execute_logical_plan(input).await?;
        let schema = frame.schema().inner().clone();
        let mut batches = frame.collect().await.map_err(EngineError::of_datafusion)?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        if let Some(mut all) = before.filter(|before| !before.is_empty()) {
            let types = all[0].schema();
            for batch in batches {
                let columns = batch.columns().iter().zip(types.fields());
                let columns = columns.map(|(c, f)| cast(c, f.data_type()));
                all.push(RecordBatch::try_new(types.clone(), columns.collect::<Result<_, _>>()?)?);
            }
            batches = all;
        }
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(EngineError::file("create", &folder))?;
        let path = self.file(name);
        let _writing = self.engine.registry.home().writing_tables().await?;
        relcast_connect::write(&Target::Parquet(path.clone()), &batches).await?;
        if let Err(error) = register(&self.context, name, &path).await {
            std::fs::remove_file(&path).map_err(EngineError::file("remove", &path))?;
            return Err(error);
        }
        Ok(rows)
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
