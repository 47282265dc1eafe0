//! What of its host a function can read.

use super::{at, number, parameter};
use analysis::{Truth, Value};
use emulator::Platform;

pub(super) fn of_platform(platform: &Platform) -> Vec<Truth> {
    let readable = platform.exposed().filter(|(_, readable)| *readable).count();
    let mut truths = vec![parameter("exposure.count", number(readable as f64))];
    for (item, readable) in platform.exposed() {
        truths.push(at(parameter("exposure.item", Value::Bool(readable)), "item", item));
    }
    truths
}
