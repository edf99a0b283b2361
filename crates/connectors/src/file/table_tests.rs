use std::{fs, path::Path};

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use millstream_engine::time::ManualClock;
use tempfile::tempdir;

use super::*;

fn add(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn request(paths: &[&Path], options: &[(&str, &str)]) -> BatchReadRequest {
    BatchReadRequest {
        format: "json".into(),
        options: options.iter().copied().collect(),
        paths: paths
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect(),
        user_schema: None,
        settings: ConnectorSettings {
            parallelism: 1,
            ..ConnectorSettings::default()
        },
        clock: Arc::new(ManualClock::new(0)),
    }
}

async fn query(table: FileTable, sql: &str) -> String {
    let session = SessionContext::new();
    session.register_table("t", Arc::new(table)).unwrap();
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

#[tokio::test]
async fn schema_and_partitions_come_from_the_files() {
    let dir = tempdir().unwrap();
    add(
        dir.path(),
        "year=2023/a.json",
        "{\"v\":1,\"s\":\"x\"}\n{\"v\":2}\n",
    );
    add(dir.path(), "year=2024/b.json", "{\"v\":3}\n");
    let table = FileTable::resolve(&request(&[dir.path()], &[]))
        .await
        .unwrap();
    assert_eq!(table.input_files().len(), 2);
    assert_eq!(
        query(
            table.clone(),
            "select year, sum(v) as v, count(s) as s from t group by year order by year"
        )
        .await,
        "+------+---+---+\n\
         | year | v | s |\n\
         +------+---+---+\n\
         | 2023 | 3 | 1 |\n\
         | 2024 | 3 | 0 |\n\
         +------+---+---+"
    );
    assert_eq!(
        query(
            table.with_metadata_column(),
            "select count(*) as n, max(_metadata['file_name']) as f from t"
        )
        .await,
        "+---+--------+\n| n | f      |\n+---+--------+\n| 3 | b.json |\n+---+--------+"
    );
}

#[tokio::test]
async fn filters_on_partitions_leave_files_unread() {
    let dir = tempdir().unwrap();
    add(dir.path(), "year=2023/a.json", "{\"v\":1}\n");
    add(dir.path(), "year=2024/b.json", "{\"v\":2}\n");
    let table = FileTable::resolve(&request(&[dir.path()], &[]))
        .await
        .unwrap();
    // Reading this file would fail.
    fs::remove_file(dir.path().join("year=2024/b.json")).unwrap();
    assert_eq!(
        query(table, "select v from t where year < 2024 and v > 0").await,
        "+---+\n| v |\n+---+\n| 1 |\n+---+"
    );
}

#[tokio::test]
async fn paths_that_are_not_there_are_refused_by_name() {
    let dir = tempdir().unwrap();
    for name in ["nope", "nope*"] {
        let path = dir.path().join(name);
        let error = FileTable::resolve(&request(&[&path], &[]))
            .await
            .unwrap_err();
        assert_eq!(error.error_class(), Some("PATH_NOT_FOUND"));
        assert_eq!(
            error.to_string(),
            format!("Path does not exist: file:{}.", path.display())
        );
    }
    let error = FileTable::resolve(&request(&[dir.path()], &[]))
        .await
        .unwrap_err();
    assert_eq!(error.error_class(), Some("UNABLE_TO_INFER_SCHEMA"));
}

#[tokio::test]
async fn several_paths_are_one_table() {
    let dir = tempdir().unwrap();
    add(dir.path(), "one/a.json", "{\"v\":1}\n");
    add(dir.path(), "two/b.json", "{\"v\":2}\n");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let table = FileTable::resolve(&request(&[&one, &two, &one], &[]))
        .await
        .unwrap();
    assert_eq!(
        query(table, "select sum(v) as v from t").await,
        "+---+\n| v |\n+---+\n| 3 |\n+---+"
    );
}
