//! A streaming word count on Millstream through `apache-spark-connect`, Apache's own Rust client for Spark Connect.
//!
//! It counts the words of the text files that arrive in a folder, prints the counts after each file, and ends when
//! the last file is counted. `millstream server` must be running:
//!
//! ```sh
//! cargo run -- sc://127.0.0.1:15002
//! ```
use std::{env, error::Error, fs, path::Path, process};

use spark_connect::{
    SparkSession, col,
    functions::{count, explode, split},
    lit_string,
    streaming::Trigger,
};

/// What arrives, file by file.
const FILES: [&str; 3] = [
    "to be or not to be\n",
    "that is the question\nto be\n",
    "be quick\n",
];

fn main() -> Result<(), Box<dyn Error>> {
    let remote = env::args()
        .nth(1)
        .unwrap_or_else(|| "sc://127.0.0.1:15002".to_string());
    let spark = SparkSession::builder().remote(&remote).get_or_create()?;
    println!("connected to {remote}, Spark {}", spark.version()?);

    // The server reads the folder itself, so it must run on this machine.
    let folder = env::temp_dir().join(format!("millstream-rust-client-{}", process::id()));
    let (input, checkpoint) = (folder.join("input"), folder.join("checkpoint"));
    fs::create_dir_all(&input)?;
    let counted = count_words(&spark, &input, &checkpoint);
    fs::remove_dir_all(&folder)?;
    spark.stop()?;
    counted
}

fn count_words(spark: &SparkSession, input: &Path, checkpoint: &Path) -> Result<(), Box<dyn Error>> {
    let words = spark
        .read_stream()
        .text(&input.to_string_lossy())
        .select([explode(split(col("value"), lit_string(" "))).alias("word")]);
    let query = words
        .group_by([col("word")])
        .agg(vec![count(col("word")).alias("count").expression().clone()])
        .write_stream()
        .format("memory")
        .query_name("counts")
        .output_mode("complete")
        .option("checkpointLocation", &checkpoint.to_string_lossy())
        .trigger(Trigger::ProcessingTime("0 seconds".to_string()))
        .start("")?;
    println!("query {} ({:?})", query.id(), query.name());

    for (number, text) in FILES.iter().enumerate() {
        // Written elsewhere and renamed: a file source must never see half a file.
        let (unseen, seen) = (input.with_extension("tmp"), input.join(format!("{number}.txt")));
        fs::write(&unseen, text)?;
        fs::rename(&unseen, &seen)?;
        query.process_all_available()?;
        println!("after {:?}:", text.trim_end());
        spark.sql("select * from counts order by count desc, word")?.show(20)?;
    }
    if let Some(progress) = query.last_progress()? {
        let progress: serde_json::Value = serde_json::from_str(&progress)?;
        println!(
            "last batch {}: {} rows in, {} groups in state",
            progress["batchId"], progress["numInputRows"], progress["stateOperators"][0]["numRowsTotal"]
        );
    }
    query.stop()?;
    Ok(())
}
