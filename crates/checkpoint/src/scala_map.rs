//! The order in which Spark writes the keys of a JSON object that is a Scala `Map`.
//!
//! Spark keeps the pinned confs in an immutable hash map and writes them as it iterates: not
//! sorted, not as inserted, but the same on every run. Writing the same order makes our offset
//! files equal to Spark's byte for byte, which is worth a page: a fixture of a real checkpoint then
//! checks the whole file.
//!
//! Up to four entries are kept in insertion order, which is lost here; those are sorted. From five
//! on the map is a trie over five bits of the key's hash a level, and a node yields the keys that
//! are alone under their five bits first, by those bits, and then its children, by theirs.
use std::collections::BTreeMap;

const BITS_PER_LEVEL: u32 = 5;
const UNORDERED_LEN_MAX: usize = 4;

/// The entries in Spark's order.
pub(crate) fn in_scala_order(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let entries = map
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    if map.len() <= UNORDERED_LEN_MAX {
        return entries.collect();
    }
    let hashed = entries.map(|entry| (scala_hash(entry.0), entry)).collect();
    let mut ordered = Vec::with_capacity(map.len());
    visit(hashed, 0, &mut ordered);
    ordered
}

/// One node of the trie: `entries` share all hash bits below `shift`.
fn visit<'a>(
    entries: Vec<(u32, (&'a str, &'a str))>,
    shift: u32,
    ordered: &mut Vec<(&'a str, &'a str)>,
) {
    if shift >= u32::BITS {
        // Equal hashes.
        ordered.extend(entries.into_iter().map(|(_, entry)| entry));
        return;
    }
    let mut slots: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (hash, entry) in entries {
        let slot = (hash >> shift) & ((1 << BITS_PER_LEVEL) - 1);
        slots.entry(slot).or_default().push((hash, entry));
    }
    let mut children = Vec::new();
    for members in slots.into_values() {
        match members.as_slice() {
            [(_, alone)] => ordered.push(*alone),
            _ => children.push(members),
        }
    }
    for members in children {
        visit(members, shift + BITS_PER_LEVEL, ordered);
    }
}

/// Java's `String.hashCode`, scrambled as Scala's hash map does.
fn scala_hash(text: &str) -> u32 {
    let code = text.encode_utf16().fold(0u32, |code, unit| {
        code.wrapping_mul(31).wrapping_add(u32::from(unit))
    });
    let hash = code.wrapping_add(!(code << 9));
    let hash = hash ^ (hash >> 14);
    let hash = hash.wrapping_add(hash << 4);
    hash ^ (hash >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_entries_are_sorted_and_many_all_appear_once() {
        let few: BTreeMap<_, _> = [("b", "1"), ("a", "2")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        assert_eq!(in_scala_order(&few), [("a", "2"), ("b", "1")]);
        // "Aa" and "BB" have equal hashes.
        let many: BTreeMap<String, String> = (0..200)
            .map(|i| i.to_string())
            .chain(["Aa".into(), "BB".into()])
            .map(|k| (k.clone(), k))
            .collect();
        let mut ordered = in_scala_order(&many);
        ordered.sort_unstable();
        assert!(
            ordered
                .iter()
                .copied()
                .eq(many.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        );
    }
}
