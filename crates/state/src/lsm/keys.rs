//! The keys of one call in order: sorted once, then looked up and written in one pass over each layer.
use super::codec::Encoded;

/// The distinct keys of a call in order.
#[derive(Debug)]
pub(super) struct SortedKeys {
    distinct: Encoded,
    /// For each distinct key the last row that has it.
    rows: Vec<u32>,
    /// For each row the place of its key among the distinct ones.
    places: Vec<u32>,
}

impl SortedKeys {
    pub(super) fn new(asked: &Encoded) -> Self {
        let mut rows = Vec::with_capacity(asked.len());
        let mut places = vec![0; asked.len()];
        let mut distinct = Encoded::with_capacity(asked.len(), asked.bytes());
        let mut sorted = sorted(asked).into_iter().peekable();
        while let Some((head, row)) = sorted.next() {
            let key = asked.get(row);
            places[row as usize] = rows.len() as u32;
            let again = |next: &&(u64, u32)| next.0 == head && asked.get(next.1) == key;
            if sorted.peek().filter(again).is_none() {
                rows.push(row);
                distinct.push(&[key]);
            }
        }
        Self {
            distinct,
            rows,
            places,
        }
    }

    /// The distinct keys.
    pub(super) fn distinct(&self) -> &Encoded {
        &self.distinct
    }

    /// For each distinct key the last row that has it.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// For each row the place of its key.
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }
}

/// Rows in the order of their keys, equal keys in the order of their rows, each with the first bytes in which its key
/// may differ from others: they decide nearly every comparison without touching the keys.
fn sorted(keys: &Encoded) -> Vec<(u64, u32)> {
    let common = common_prefix(keys);
    let tail = |row: u32| keys.get(row).get(common..).unwrap_or_default();
    let mut order: Vec<(u64, u32)> = (0..keys.len() as u32)
        .map(|row| (head(tail(row)), row))
        .collect();
    order.sort_unstable_by(|(a_head, a), (b_head, b)| {
        let by_head = a_head.cmp(b_head);
        by_head.then_with(|| tail(*a).cmp(tail(*b)).then(a.cmp(b)))
    });
    order
}

/// Bytes with which all keys begin.
fn common_prefix(keys: &Encoded) -> usize {
    let mut keys = keys.iter();
    let first = keys.next().unwrap_or_default();
    keys.fold(first.len(), |common, key| {
        let shared = first.iter().zip(key).take(common);
        shared.take_while(|(a, b)| a == b).count()
    })
}

/// The first eight bytes as a number that sorts as they do, up to where one key ends.
fn head(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(head)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(asked: &[&str]) -> SortedKeys {
        let mut encoded = Encoded::default();
        for key in asked {
            encoded.push(&[b"user-", key.as_bytes()]);
        }
        SortedKeys::new(&encoded)
    }

    #[test]
    fn equal_keys_share_a_place_and_the_last_row_counts() {
        let keys = keys(&["b", "a", "", "b", "a\0", "a", "b"]);
        assert_eq!(keys.rows(), [2, 5, 4, 6]);
        assert_eq!(keys.places(), [3, 1, 0, 3, 2, 1, 3]);
        assert_eq!(keys.distinct().get(1), b"user-a");
    }

    #[test]
    fn keys_with_equal_heads_are_sorted_by_the_rest() {
        let keys = keys(&["long and equal 2", "short", "long and equal 1", "long an"]);
        assert_eq!(keys.rows(), [3, 2, 0, 1]);
    }

    #[test]
    fn no_keys_are_sorted() {
        assert_eq!(keys(&[]).distinct().len(), 0);
        assert_eq!(keys(&["only"]).rows(), [0]);
    }
}
