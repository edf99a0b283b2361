//! Compressed plans: clients may send a large plan as zstd.
use std::io::Read;

use bytes::Bytes;
use millstream_spark::error::{Exception, SparkError};
use spark_connect_proto::{
    CompressionCodec,
    plan::{CompressedOperation, OpType, compressed_operation},
};

use crate::{codec::decode_bounded, error};

/// Bytes that a plan may have once decompressed.
const PLAN_BYTES_MAX: u64 = 512 << 20;

/// The operation inside.
pub fn decompress(compressed: &CompressedOperation) -> Result<OpType, SparkError> {
    if compressed.compression_codec() != CompressionCodec::Zstd {
        return Err(cannot_parse(format!(
            "unknown compression codec {}",
            compressed.compression_codec
        )));
    }
    let mut plan = vec![];
    let decoder = zstd::Decoder::new(compressed.data.as_ref()).map_err(cannot_parse)?;
    decoder
        .take(PLAN_BYTES_MAX + 1)
        .read_to_end(&mut plan)
        .map_err(cannot_parse)?;
    if plan.len() as u64 > PLAN_BYTES_MAX {
        return Err(cannot_parse(format!(
            "it has more than {PLAN_BYTES_MAX} bytes"
        )));
    }
    let plan = Bytes::from(plan);
    let decoded = match compressed.op_type() {
        compressed_operation::OpType::Relation => decode_bounded(plan).map(OpType::Root),
        compressed_operation::OpType::Command => decode_bounded(plan).map(OpType::Command),
        compressed_operation::OpType::Unspecified => {
            return Err(error::one_of_not_set(
                "spark.connect.Plan.CompressedOperation",
                "op_type",
            ));
        }
    };
    decoded.map_err(cannot_parse)
}

fn cannot_parse(error: impl std::fmt::Display) -> SparkError {
    SparkError::new(
        Exception::InvalidPlan,
        "CONNECT_INVALID_PLAN.CANNOT_PARSE",
        &[("errorMsg", &error.to_string())],
    )
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use spark_connect_proto::{Range, Relation, relation::RelType};

    use super::*;

    fn compressed(data: Vec<u8>) -> CompressedOperation {
        CompressedOperation {
            data: data.into(),
            op_type: compressed_operation::OpType::Relation.into(),
            compression_codec: CompressionCodec::Zstd.into(),
        }
    }

    #[test]
    fn a_compressed_relation_is_the_relation() {
        let relation = Relation {
            rel_type: Some(RelType::Range(Range {
                end: 3,
                ..Default::default()
            })),
            common: None,
        };
        let bytes = zstd::encode_all(relation.encode_to_vec().as_slice(), 3).unwrap();
        assert_eq!(
            decompress(&compressed(bytes)).unwrap(),
            OpType::Root(relation)
        );
    }

    #[test]
    fn what_does_not_decompress_or_parse_is_told_so_that_clients_stop_compressing() {
        let garbage = zstd::encode_all([0xff; 16].as_slice(), 3).unwrap();
        for data in [b"not zstd".to_vec(), garbage] {
            assert_eq!(
                decompress(&compressed(data)).unwrap_err().class,
                "CONNECT_INVALID_PLAN.CANNOT_PARSE"
            );
        }
    }
}
