//! Which files a source finds below its paths, and that each is handed out once.
use std::{path::PathBuf, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use tempfile::{TempDir, tempdir};

use super::*;

struct Tree {
    dir: TempDir,
}

impl Tree {
    fn new(files: &[&str]) -> Self {
        let tree = Self {
            dir: tempdir().unwrap(),
        };
        for file in files {
            tree.add(file);
        }
        tree
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn add(&self, file: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "1\n").unwrap();
    }

    /// Makes a directory look as if nothing had happened in it for a minute.
    fn settle(&self, below: &str) {
        let then = SystemTime::now() - Duration::from_secs(60);
        fs::File::open(self.path(below))
            .unwrap()
            .set_modified(then)
            .unwrap();
    }

    fn listing(&self, below: &str, options: ListingOptions) -> Listing {
        let path = self.path(below);
        Listing::new(Location::parse(path.to_str().unwrap()).unwrap(), options)
    }

    fn names(&self, found: &Found) -> Vec<String> {
        let root = format!("{}/", self.dir.path().to_str().unwrap());
        let mut names: Vec<_> = found
            .files
            .iter()
            .map(|file| file.path.replace(&root, ""))
            .collect();
        names.sort_unstable();
        names
    }

    fn listed(&self, below: &str, options: ListingOptions) -> Vec<String> {
        self.names(&self.listing(below, options).poll_local().unwrap())
    }
}

fn filter(pattern: &str) -> ListingOptions {
    ListingOptions {
        name_filter: Some(Glob::new(pattern).unwrap()),
        ..Default::default()
    }
}

#[test]
fn hidden_files_and_plain_subdirectories_are_no_input() {
    let tree = Tree::new(&[
        "in/a.json",
        "in/_b.json",
        "in/.c.json",
        "in/d._COPYING_",
        "in/sub/e.json",
        "in/k=1/f.json",
        "in/_k=2/g.json",
        "in/_spark_metadata/0",
    ]);
    assert_eq!(
        tree.listed("in", ListingOptions::default()),
        ["in/_k=2/g.json", "in/a.json", "in/k=1/f.json"]
    );
    let recursive = ListingOptions {
        recursive: true,
        ..Default::default()
    };
    assert_eq!(
        tree.listed("in", recursive),
        [
            "in/_k=2/g.json",
            "in/a.json",
            "in/k=1/f.json",
            "in/sub/e.json"
        ]
    );
}

#[test]
fn patterns_choose_directories_and_the_filter_chooses_names() {
    let tree = Tree::new(&[
        "in1/a.json",
        "in2/b.json",
        "in2/c.csv",
        "out/d.json",
        "in3.json",
    ]);
    assert_eq!(
        tree.listed("in*", ListingOptions::default()),
        ["in1/a.json", "in2/b.json", "in2/c.csv", "in3.json"]
    );
    assert_eq!(
        tree.listed("in[12]", filter("{a,c}*")),
        ["in1/a.json", "in2/c.csv"]
    );
    assert_eq!(
        tree.listed("{in1/a.json,out}", filter("*.json")),
        ["in1/a.json", "out/d.json"]
    );
    assert!(
        tree.listed("nothing*", ListingOptions::default())
            .is_empty()
    );
}

#[test]
fn a_file_is_handed_out_once() {
    let tree = Tree::new(&["in/a", "in/k=1/b"]);
    let mut listing = tree.listing("in", ListingOptions::default());
    assert_eq!(
        tree.names(&listing.poll_local().unwrap()),
        ["in/a", "in/k=1/b"]
    );
    assert!(listing.poll_local().unwrap().files.is_empty());
    tree.add("in/k=1/c");
    tree.add("in/k=2/d");
    assert_eq!(
        tree.names(&listing.poll_local().unwrap()),
        ["in/k=1/c", "in/k=2/d"]
    );
    fs::remove_file(tree.path("in/a")).unwrap();
    assert!(listing.poll_local().unwrap().files.is_empty());
    tree.add("in/a");
    assert_eq!(
        tree.names(&listing.poll_local().unwrap()),
        ["in/a"],
        "came back"
    );
    fs::remove_dir_all(tree.path("in/k=1")).unwrap();
    assert!(listing.poll_local().unwrap().files.is_empty());
}

#[test]
fn a_file_as_the_path_is_handed_out_once() {
    let tree = Tree::new(&["in.json"]);
    let mut listing = tree.listing("in.json", ListingOptions::default());
    assert_eq!(tree.names(&listing.poll_local().unwrap()), ["in.json"]);
    assert!(listing.poll_local().unwrap().files.is_empty());
}

#[test]
fn among_100_000_files_only_the_new_ones_are_looked_at() {
    let tree = Tree::new(&[]);
    fs::create_dir(tree.path("in")).unwrap();
    for i in 0..100_000 {
        fs::File::create(tree.path(&format!("in/{i}"))).unwrap();
    }
    let mut listing = tree.listing("in", ListingOptions::default());
    assert_eq!(listing.poll_local().unwrap().files.len(), 100_000);
    assert_eq!(
        listing.effort,
        Effort {
            listings: 1,
            file_stats: 100_000,
            dir_stats: 1
        }
    );

    tree.settle("in");
    listing.poll_local().unwrap();
    let settled = listing.effort;
    for _ in 0..10 {
        assert!(listing.poll_local().unwrap().files.is_empty());
    }
    assert_eq!(
        listing.effort,
        Effort {
            dir_stats: settled.dir_stats + 10,
            ..settled
        },
        "an idle trigger reads no directory"
    );

    tree.add("in/new1");
    tree.add("in/new2");
    assert_eq!(
        tree.names(&listing.poll_local().unwrap()),
        ["in/new1", "in/new2"]
    );
    assert_eq!(
        listing.effort,
        Effort {
            listings: settled.listings + 1,
            file_stats: settled.file_stats + 2,
            dir_stats: settled.dir_stats + 11,
        }
    );
}

#[test]
fn a_directory_that_just_changed_is_read_again() {
    let tree = Tree::new(&["in/a"]);
    let mut listing = tree.listing("in", ListingOptions::default());
    listing.poll_local().unwrap();
    listing.poll_local().unwrap();
    assert_eq!(
        listing.effort.listings, 2,
        "another file may have come within the clock's grain"
    );
    assert_eq!(listing.effort.file_stats, 1);
}

#[tokio::test]
async fn object_stores_are_listed_by_prefix() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for key in [
        "in1/a.json",
        "in1/k=1/b.json",
        "in1/sub/c.json",
        "in1/_d",
        "in2/e.json",
        "x/f",
    ] {
        store.put(&key.into(), "12".into()).await.unwrap();
    }
    let fs = FileSystem::Object {
        store,
        root: "mem://bucket".into(),
    };
    let location = Location {
        fs,
        path: "/in*".into(),
    };
    let found = Listing::new(location.clone(), ListingOptions::default())
        .poll_store()
        .await
        .unwrap();
    let mut paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/in1/a.json", "/in1/k=1/b.json", "/in2/e.json"]);
    assert_eq!(found.roots, ["/in1", "/in2"]);
    assert_eq!(location.at(paths[1]).url(), "mem://bucket/in1/k=1/b.json");
}
