//! Counts the words of text that arrives on a socket: `nc -lk 9999`, then
//! `cargo run -p millstream --example word_count -- 9999`, then type.
use datafusion::{
    functions::expr_fn::regexp_match, functions_aggregate::expr_fn::count, prelude::*,
};
use millstream::prelude::*;

#[tokio::main]
async fn main() -> millstream::Result<()> {
    let port = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "9999".to_string());
    let ctx = SessionContext::new();
    let lines = ctx
        .read_stream("socket")
        .option("host", "localhost")
        .option("port", port)
        .load()
        .await?;
    let words = lines
        .select(vec![
            datafusion::functions_nested::expr_fn::string_to_array(col("value"), lit(" "), lit(""))
                .alias("word"),
        ])?
        .unnest_columns(&["word"])?
        .filter(regexp_match(col("word"), lit("\\S"), None).is_not_null())?;
    let query = words
        .aggregate(vec![col("word")], vec![count(lit(1)).alias("count")])?
        .write_stream()
        .format("console")
        .output_mode(OutputMode::Complete)
        .start()
        .await?;
    query.await_termination(None).await?;
    Ok(())
}
