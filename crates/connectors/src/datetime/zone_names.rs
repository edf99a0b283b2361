//! Names of time zones for the pattern letters `z` and `zzzz`.
use std::{collections::HashMap, sync::OnceLock};

use super::zone::{Zone, regions};

/// Columns: short standard, short daylight, long standard, long daylight, region ids.
const NAMES: &str = include_str!("data/zone_names.tsv");
/// Columns: `S` or `F`, name, the region Java resolves the name to.
const PARSED: &str = include_str!("data/zone_parse.tsv");

struct Names {
    short: [&'static str; 2],
    full: [&'static str; 2],
}

/// Name of a zone, standard or daylight; a fixed offset or a zone without names gives `None`.
pub(super) fn name_of(zone: &Zone, full: bool, daylight: bool) -> Option<&'static str> {
    let Zone::Region(tz) = zone else { return None };
    let names = by_region().get(tz.name())?;
    let pair = if full { names.full } else { names.short };
    pair.get(usize::from(daylight)).copied()
}

/// The zone a name stands for; region ids are names too, and case is ignored.
pub(super) fn zone_named(name: &str, full: bool) -> Option<Zone> {
    let lower = name.to_ascii_lowercase();
    let id = by_name().get(&(full, lower.clone()));
    match id {
        Some(id) => Zone::parse(id),
        None => regions().get(&lower).map(|tz| Zone::Region(*tz)),
    }
}

fn by_region() -> &'static HashMap<&'static str, Names> {
    static TABLE: OnceLock<HashMap<&'static str, Names>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        for line in NAMES.lines() {
            let columns: Vec<&'static str> = line.split('\t').collect();
            let [short, short_dst, full, full_dst, ids] = columns[..] else {
                continue;
            };
            for id in ids.split(' ') {
                table.insert(
                    id,
                    Names {
                        short: [short, short_dst],
                        full: [full, full_dst],
                    },
                );
            }
        }
        table
    })
}

fn by_name() -> &'static HashMap<(bool, String), &'static str> {
    static TABLE: OnceLock<HashMap<(bool, String), &'static str>> = OnceLock::new();
    TABLE.get_or_init(|| {
        PARSED
            .lines()
            .filter_map(|line| {
                let mut columns = line.split('\t');
                let (style, name, id) = (columns.next()?, columns.next()?, columns.next()?);
                Some(((style == "F", name.to_ascii_lowercase()), id))
            })
            .collect()
    })
}
