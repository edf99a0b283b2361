//! Joins, by type and side. `stream, table` is a stream on the left.
//!
//! | type | stream, table | table, stream | stream, stream |
//! |---|---|---|---|
//! | inner, cross | yes | yes | append and update |
//! | left outer | yes | no | append, if its rows can be given up on |
//! | right outer | no | yes | append, if its rows can be given up on |
//! | full outer | no | no | append, if its rows can be given up on |
//! | left semi | yes | no | append and update, if its rows can be given up on |
//! | left anti | yes | no | no |
//!
//! A row can be *given up on* once no match can come any more: when a watermarked column is among the join keys, or when
//! the other side has a watermark and the condition bounds the row's time by it (`operator/join/bounds.rs`). Which side must be
//! bounded: the one whose rows wait, for `full outer` either.
use datafusion::{
    common::{JoinType, Result},
    logical_expr::Join,
};

use super::{StaticJoin, UnsupportedOperation as No, Verdict, is_streaming};
use crate::{operator::join::bounds, plan::OutputMode};

pub(super) fn check(join: &Join, mode: OutputMode) -> Result<Verdict> {
    Ok(
        match (is_streaming(&join.left)?, is_streaming(&join.right)?) {
            (true, false) => stream_with_table(join.join_type),
            (false, true) => table_with_stream(join.join_type),
            (true, true) => streams(join, mode)?,
            (false, false) => Ok(()),
        },
    )
}

fn stream_with_table(join: JoinType) -> Verdict {
    match join {
        JoinType::Inner | JoinType::Left => Ok(()),
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Ok(()),
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            Err(No::StaticJoin(StaticJoin::RightOuterOfTable))
        }
        JoinType::Full => Err(No::StaticJoin(StaticJoin::FullOuterStreamLeft)),
    }
}

fn table_with_stream(join: JoinType) -> Verdict {
    match join {
        JoinType::Inner | JoinType::Right => Ok(()),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Ok(()),
        JoinType::Left => Err(No::StaticJoin(StaticJoin::LeftOuterOfTable)),
        JoinType::LeftSemi | JoinType::LeftMark => Err(No::StaticJoin(StaticJoin::SemiOfTable)),
        JoinType::LeftAnti => Err(No::AntiJoin),
        JoinType::Full => Err(No::StaticJoin(StaticJoin::FullOuterStreamRight)),
    }
}

fn streams(join: &Join, mode: OutputMode) -> Result<Verdict> {
    match join.join_type {
        JoinType::Inner => return Ok(in_modes("Inner", mode, true)),
        JoinType::LeftAnti | JoinType::RightAnti | JoinType::LeftMark | JoinType::RightMark => {
            return Ok(Err(No::AntiJoin));
        }
        _ => {}
    }
    let (name, also_update) = match join.join_type {
        JoinType::Left => ("LeftOuter", false),
        JoinType::Right => ("RightOuter", false),
        JoinType::Full => ("FullOuter", false),
        _ => ("LeftSemi", true),
    };
    if let Err(objection) = in_modes(name, mode, also_update) {
        return Ok(Err(objection));
    }
    Ok(if bounds(join)?.permits(join.join_type) {
        Ok(())
    } else {
        Err(No::StreamJoinWithoutWatermark { join: name })
    })
}

fn in_modes(join: &'static str, mode: OutputMode, also_update: bool) -> Verdict {
    let (mode, only) = match (mode, also_update) {
        (OutputMode::Append, _) | (OutputMode::Update, true) => return Ok(()),
        (OutputMode::Update, false) => ("Update", "Append output mode"),
        (OutputMode::Complete, true) => ("Complete", "Append and Update output modes"),
        (OutputMode::Complete, false) => ("Complete", "Append output mode"),
    };
    Err(No::StreamJoinMode { join, mode, only })
}
