//! Operators, under the names the grammar and the clients give them: `+`, `==`, `and`, `in`.
mod arithmetic;
mod bitwise;
mod comparison;
mod decimal;
mod interval;
mod logic;

pub(crate) use comparison::equality;
pub(crate) use decimal::shown as shown_decimal;
pub(crate) use interval::add_calendar_interval;

use super::Registry;

pub(super) fn register(registry: &mut Registry) {
    arithmetic::register(registry);
    bitwise::register(registry);
    comparison::register(registry);
    logic::register(registry);
}
