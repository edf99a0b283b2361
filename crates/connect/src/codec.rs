//! The codec of every method: prost, with a bound on how deep a message may nest.
//!
//! A chain of DataFrame calls is a chain of nested messages, two levels a call, and real programs chain hundreds.
//! prost's own limit of 100 levels is therefore switched off for the whole build, and its decoder, which recurses,
//! would let a hostile or runaway message overflow the stack, which ends the process and every query in it. So the
//! nesting of a request is measured here, without recursion, before it is decoded. The limit is what the stacks of
//! the server's threads ([`THREAD_STACK_BYTES`]) are known to hold, resolution of the plan included.
use std::marker::PhantomData;

use bytes::Buf;
use millstream_spark::error::SparkError;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::error;

/// Message levels that a request may nest: about 2000 chained DataFrame calls.
pub const NESTING_MAX: usize = 4096;

/// Groups within groups that a request may have.
const GROUPS_MAX: usize = 100_000;

/// Stack of every thread that decodes, resolves or drops a plan, in bytes. Only pages that are touched cost memory.
pub const THREAD_STACK_BYTES: usize = 512 << 20;

/// [`ProstCodec`] with the nesting check.
#[derive(Debug, Clone)]
pub struct PlanCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for PlanCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for PlanCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = PlanDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        PlanDecoder(PhantomData)
    }
}

/// Decodes a message whose nesting is within bounds.
#[derive(Debug, Clone)]
pub struct PlanDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for PlanDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let length = buffer.remaining();
        decode_bounded(buffer.copy_to_bytes(length))
            .map(Some)
            .map_err(|error| error::to_status(&error, None))
    }
}

/// Decodes `bytes` unless they nest deeper than [`NESTING_MAX`].
///
/// # Errors
/// They do, or they are no such message.
pub fn decode_bounded<M: Message + Default>(bytes: bytes::Bytes) -> Result<M, SparkError> {
    if nests_deeper(&bytes, NESTING_MAX) {
        return Err(error::invalid_request(format!(
            "the request nests deeper than {NESTING_MAX} message levels; break a long chain of \
             DataFrame calls with a single select, or with createOrReplaceTempView and spark.table"
        )));
    }
    M::decode(bytes).map_err(error::invalid_request)
}

/// Whether `bytes`, read as a protobuf message, may nest deeper than `limit` levels.
///
/// The wire format does not tell a string from a message, so whatever reads as a message counts as one. That errs
/// to the deep side, by a few levels: text does not read as thousands of nested, well-formed messages. Groups, which
/// no message of the protocol has, are skipped by the decoder; it recurses into groups within groups only, on small
/// frames, and text does read as those, hence a limit of their own.
pub fn nests_deeper(bytes: &[u8], limit: usize) -> bool {
    let mut pending = vec![(bytes, 1_usize)];
    while let Some((mut message, depth)) = pending.pop() {
        if depth > limit {
            return true;
        }
        let mut groups = 0_usize;
        while let Some(field) = next_field(&mut message) {
            match field {
                Field::Nested(inner) if groups == 0 => pending.push((inner, depth + 1)),
                Field::GroupStart => groups += 1,
                Field::GroupEnd => groups = groups.saturating_sub(1),
                Field::Nested(_) | Field::Scalar => {}
            }
            if groups > GROUPS_MAX {
                return true;
            }
        }
    }
    false
}

enum Field<'a> {
    Scalar,
    Nested(&'a [u8]),
    GroupStart,
    GroupEnd,
}

/// Takes the next field off `message`; `None` at the end, or where it stops to be a message.
fn next_field<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(message)?;
    if tag >> 3 == 0 {
        return None;
    }
    match tag & 7 {
        0 => varint(message).map(|_| Field::Scalar),
        1 => take(message, 8).map(|_| Field::Scalar),
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            take(message, length).map(Field::Nested)
        }
        3 => Some(Field::GroupStart),
        4 => Some(Field::GroupEnd),
        5 => take(message, 4).map(|_| Field::Scalar),
        _ => None,
    }
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use spark_connect_proto::{Limit, Plan, Range, Relation, plan::OpType, relation::RelType};

    use super::*;

    /// `limit(limit(… range))`, written as bytes, since building it as messages would need the stack under test.
    fn nested_limits(levels: usize) -> Bytes {
        let range = Relation {
            rel_type: Some(RelType::Range(Range {
                end: 1,
                step: 1,
                ..Default::default()
            })),
            ..Default::default()
        };
        let mut inner = range.encode_to_vec();
        for _ in 0..levels {
            let mut limit = BytesMut::new();
            prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut limit);
            prost::encoding::encode_varint(inner.len() as u64, &mut limit);
            limit.put_slice(&inner);
            let mut relation = BytesMut::new();
            // field 8 of Relation is Limit
            prost::encoding::encode_key(
                8,
                prost::encoding::WireType::LengthDelimited,
                &mut relation,
            );
            prost::encoding::encode_varint(limit.len() as u64, &mut relation);
            relation.put_slice(&limit);
            inner = relation.to_vec();
        }
        let mut plan = BytesMut::new();
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut plan);
        prost::encoding::encode_varint(inner.len() as u64, &mut plan);
        plan.put_slice(&inner);
        plan.freeze()
    }

    /// Runs `test` on a thread like those of the server.
    fn on_server_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::Builder::new()
            .stack_size(THREAD_STACK_BYTES)
            .spawn(test)
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_plan_of_two_thousand_calls_decodes_on_a_server_thread() {
        on_server_thread(|| {
            let plan: Plan = decode_bounded(nested_limits(2000)).unwrap();
            let Some(OpType::Root(mut relation)) = plan.op_type else {
                panic!("no root")
            };
            let mut depth = 0;
            while let Some(RelType::Limit(limit)) = relation.rel_type {
                let Limit { input, .. } = *limit;
                relation = *input.unwrap();
                depth += 1;
            }
            assert_eq!(depth, 2000);
        });
    }

    #[test]
    fn a_runaway_plan_is_refused_before_it_is_decoded() {
        let refusal = decode_bounded::<Plan>(nested_limits(10_000)).unwrap_err();
        assert!(refusal.message.contains("4096 message levels"), "{refusal}");
    }

    #[test]
    fn groups_are_skipped_as_deep_as_they_are_let_through() {
        let groups = |depth: usize| {
            let mut bytes = vec![0x5b; depth];
            bytes.resize(2 * depth, 0x5c);
            bytes::Bytes::from(bytes)
        };
        assert!(nests_deeper(&groups(GROUPS_MAX + 1), NESTING_MAX));
        on_server_thread(move || {
            let plan: Plan = decode_bounded(groups(GROUPS_MAX)).unwrap();
            assert_eq!(plan, Plan::default());
        });
    }

    #[test]
    fn text_and_binary_payloads_do_not_read_as_deep_messages() {
        let text =
            "select value, count(1) from rrrrzzzz where jjbb:: group by value\n".repeat(1000);
        let mut binary = vec![0_u8; 100_000];
        for (index, byte) in binary.iter_mut().enumerate() {
            *byte = ((index * 2654435761) >> 7) as u8;
        }
        assert!(!nests_deeper(text.as_bytes(), 200));
        assert!(!nests_deeper("c".repeat(50_000).as_bytes(), 200));
        assert!(!nests_deeper(&binary, 200));
    }
}
