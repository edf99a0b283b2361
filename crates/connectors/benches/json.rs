//! How many rows a second one core reads from JSON, tier by tier, on the records of the Yahoo Streaming
//! Benchmark: seven string fields of about 250 bytes, of which a query wants three.
//!
//! Each number is the best of three passes over the same file, which is in the page cache: reading, cutting
//! into lines, parsing and building Arrow batches of 8192 rows. `arrow-json` is the yardstick.
use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    sync::Arc,
    time::Instant,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::TryStreamExt;
use millstream_connectors::format::{
    FileFormat, FileRef, FormatScan, FormatSettings, Options,
    json::{JsonFormat, Tiers},
};

const ROWS: u64 = 1_000_000;
const WANTED: [&str; 3] = ["ad_id", "event_type", "event_time"];

fn schema(names: &[&str]) -> SchemaRef {
    let fields = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Writes the records; identifiers look random but are the same in every run.
fn write_records(path: &std::path::Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for row in 0..ROWS {
        let kind = ["view", "click", "purchase"][(next() % 3) as usize];
        let ad = ["banner", "modal", "sponsored-search", "mail", "mobile"][(next() % 5) as usize];
        let uuid = |a: u64, b: u64| {
            format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                a >> 32,
                a >> 16 & 0xffff,
                a & 0xffff,
                b >> 48,
                b & 0xffff_ffff_ffff
            )
        };
        let (user, page, ad_id) = (
            uuid(next(), next()),
            uuid(next(), next()),
            uuid(next() % 1000, 7),
        );
        writeln!(
            out,
            r#"{{"user_id":"{user}","page_id":"{page}","ad_id":"{ad_id}","ad_type":"{ad}","event_type":"{kind}","event_time":"{}","ip_address":"1.2.3.4"}}"#,
            1_700_000_000_000 + row,
        )?;
    }
    out.flush()
}

/// Skips what an argument, part of a label, does not ask for.
fn best_of_three(label: &str, bytes: u64, mut pass: impl FnMut() -> u64) {
    let asked = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if asked.is_some_and(|part| !label.contains(&part)) {
        return;
    }
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let rows = pass();
        assert_eq!(rows, ROWS, "{label} lost rows");
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (rows, gigabytes) = (ROWS as f64 / best / 1e6, bytes as f64 / best / 1e9);
    println!("{label:<28} {rows:>7.2} M rows/s {gigabytes:>7.2} GB/s");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.json");
    write_records(&path)?;
    let file = FileRef::local(&path)?;
    println!("{ROWS} rows of {} bytes", file.size / ROWS);

    let all = [
        "user_id",
        "page_id",
        "ad_id",
        "ad_type",
        "event_type",
        "event_time",
        "ip_address",
    ];
    let data_schema = schema(&all);
    let projection = WANTED
        .iter()
        .map(|name| data_schema.index_of(name))
        .collect::<Result<_, _>>()?;
    let scan = FormatScan {
        data_schema,
        projection,
        batch_size: 8192,
    };
    for (label, tiers) in [
        ("tier 1, layout", Tiers::ALL),
        (
            "tier 2, scan",
            Tiers {
                layout: false,
                scan: true,
            },
        ),
        (
            "tier 3, general",
            Tiers {
                layout: false,
                scan: false,
            },
        ),
    ] {
        let format =
            JsonFormat::new(&Options::new(), &FormatSettings::default())?.with_tiers(tiers);
        best_of_three(label, file.size, || {
            let batches = format.open(&file, &scan).map(|stream| {
                let rows = stream.try_fold(0, |rows, batch| async move {
                    Ok(rows + batch.num_rows() as u64)
                });
                futures::executor::block_on(rows)
            });
            batches.ok().and_then(Result::ok).unwrap_or(0)
        });
    }
    best_of_three("arrow-json, three columns", file.size, || {
        let Ok(input) = File::open(&path) else {
            return 0;
        };
        let reader = arrow_json::ReaderBuilder::new(schema(&WANTED))
            .with_batch_size(8192)
            .build(BufReader::with_capacity(1 << 20, input));
        let batches =
            reader.map(|reader| reader.flatten().map(|batch| batch.num_rows() as u64).sum());
        batches.unwrap_or(0)
    });
    Ok(())
}
