//! Files of a local folder: one writer of a name wins, nothing unfinished shows, and no path leaves the root.
use std::time::SystemTime;

use super::*;

fn storage() -> (tempfile::TempDir, LocalStorage) {
    let dir = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(dir.path().join("ck")).unwrap();
    (dir, storage)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write_aged(path: &Path, age: Duration) {
    let file = fs::File::create(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn put_new_creates_folders_and_leaves_nothing_but_the_file() {
    let (_dir, storage) = storage();
    storage
        .put_new("sources/0/7", Bytes::from_static(b"hello"))
        .await
        .unwrap();
    assert_eq!(storage.get("sources/0/7").await.unwrap(), "hello");
    assert_eq!(names(&storage.root().join("sources/0")), ["7"]);
}

#[tokio::test]
async fn put_new_on_a_taken_name_keeps_the_old_bytes_and_no_temporary() {
    let (_dir, storage) = storage();
    storage
        .put_new("7", Bytes::from_static(b"first"))
        .await
        .unwrap();
    let error = storage
        .put_new("7", Bytes::from_static(b"second"))
        .await
        .unwrap_err();
    let expected = storage.root().join("7").display().to_string();
    assert!(matches!(error, StorageError::AlreadyExists { path } if path == expected));
    assert_eq!(storage.get("7").await.unwrap(), "first");
    assert_eq!(names(storage.root()), ["7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_of_one_name_exactly_one_wins() {
    let (_dir, storage) = storage();
    for round in 0..20 {
        let path = format!("offsets/{round}");
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                // A storage of its own, as another process would have.
                let storage = LocalStorage::new(storage.root()).unwrap();
                let path = path.clone();
                tokio::spawn(async move {
                    storage
                        .put_new(&path, Bytes::from(format!("writer {writer}")))
                        .await
                })
            })
            .collect();
        let mut winner = None;
        for (writer, outcome) in writers.into_iter().enumerate() {
            match outcome.await.unwrap() {
                Ok(()) => assert!(winner.replace(writer).is_none(), "two winners"),
                Err(StorageError::AlreadyExists { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        }
        let expected = format!("writer {}", winner.expect("a winner"));
        assert_eq!(storage.get(&path).await.unwrap(), expected);
    }
    assert_eq!(names(&storage.root().join("offsets")).len(), 20);
}

#[test]
fn without_hard_links_exactly_one_of_many_threads_wins_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("7");
    let outcomes: Vec<io::Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|writer| {
                let (dir, path) = (dir.path(), &path);
                scope.spawn(move || {
                    let tmp = dir.join(format!(".7.{writer}.tmp"));
                    write_synced(&tmp, format!("writer {writer}").as_bytes())?;
                    rename_under_lock(&tmp, dir, "7", path)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
    let winner = outcomes.iter().position(Result::is_ok).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("writer {winner}")
    );
    assert!(!dir.path().join(".7.lock.tmp").exists());
}

#[tokio::test]
async fn put_replaces() {
    let (_dir, storage) = storage();
    storage
        .put("a/x", Bytes::from_static(b"old"))
        .await
        .unwrap();
    storage
        .put("a/x", Bytes::from_static(b"new"))
        .await
        .unwrap();
    assert_eq!(storage.get("a/x").await.unwrap(), "new");
    assert_eq!(names(&storage.root().join("a")), ["x"]);
}

#[tokio::test]
async fn hadoop_sidecar_goes_with_its_file() {
    let (_dir, storage) = storage();
    storage
        .put("0", Bytes::from_static(b"spark"))
        .await
        .unwrap();
    let sidecar = storage.root().join(".0.crc");

    fs::write(&sidecar, "crc").unwrap();
    storage.put("0", Bytes::from_static(b"ours")).await.unwrap();
    assert!(!sidecar.exists(), "put");

    fs::write(&sidecar, "crc").unwrap();
    storage.delete("0").await.unwrap();
    assert!(!sidecar.exists(), "delete");

    fs::write(&sidecar, "crc of a file somebody removed").unwrap();
    storage
        .put_new("0", Bytes::from_static(b"ours"))
        .await
        .unwrap();
    assert!(!sidecar.exists(), "put_new");
}

#[tokio::test]
async fn listings_hide_temporaries_sidecars_and_the_other_kind() {
    let (_dir, storage) = storage();
    storage
        .put("q/0", Bytes::from_static(b"abc"))
        .await
        .unwrap();
    storage.put("q/sub/1", Bytes::new()).await.unwrap();
    fs::write(storage.root().join("q/.0.crc"), "").unwrap();
    fs::write(storage.root().join("q/.1.77aa.tmp"), "half").unwrap();
    let files = storage.list("q").await.unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!((files[0].name.as_str(), files[0].size), ("0", 3));
    let age = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
        - files[0].modified_ms;
    assert!((-1000..60_000).contains(&age), "{age}");
    assert_eq!(storage.list_dirs("q").await.unwrap(), ["sub"]);
    assert!(storage.list("absent").await.unwrap().is_empty());
    assert!(storage.list_dirs("absent").await.unwrap().is_empty());
}

#[tokio::test]
async fn first_write_into_a_folder_sweeps_old_temporaries_only() {
    let (_dir, storage) = storage();
    fs::create_dir_all(storage.root()).unwrap();
    let old = storage.root().join(".3.5a0e.tmp");
    let young = storage.root().join(".4.5a0e.tmp");
    write_aged(&old, Duration::from_secs(3600));
    write_aged(&young, Duration::from_secs(5));
    storage.put_new("5", Bytes::new()).await.unwrap();
    assert!(!old.exists() && young.exists());
}

#[tokio::test]
async fn paths_that_leave_the_root_or_hide_are_refused() {
    let (_dir, storage) = storage();
    for path in [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "./a",
        ".hidden",
        "a/.b",
        "a/",
    ] {
        let error = storage.put_new(path, Bytes::new()).await.unwrap_err();
        assert!(
            matches!(error, StorageError::Failed { .. }),
            "{path}: {error}"
        );
    }
    assert!(storage.put("", Bytes::new()).await.is_err());
}

#[tokio::test]
async fn missing_file_reads_as_not_found_and_deletes_as_done() {
    let (_dir, storage) = storage();
    assert!(matches!(
        storage.get("x").await,
        Err(StorageError::NotFound { .. })
    ));
    assert!(!storage.exists("x").await.unwrap());
    storage.delete("x").await.unwrap();
    storage.delete_dir("d").await.unwrap();
    storage.put("d/x", Bytes::new()).await.unwrap();
    storage.delete_dir("d").await.unwrap();
    assert!(!storage.exists("d/x").await.unwrap());
    assert!(!storage.exists("d").await.unwrap());
}

#[tokio::test]
async fn write_into_a_read_only_place_fails_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let storage = LocalStorage::new(dir.path().join("file/below")).unwrap();
    let error = storage.put_new("0", Bytes::new()).await.unwrap_err();
    assert!(error.to_string().contains("file/below/0"), "{error}");
}
