//! Chains of asynchronous invocations: who has invoked whom, in the trace header, so that a loop ends.
//!
//! The header's field `Lineage` holds, for each function of the chain, eight hexadecimal digits that stand for it and how
//! often it was invoked in this chain, as in `Lineage=0f1e2d3c:3|89abcdef:1`. Software kits hand the header on, so that a
//! function which invokes itself is found as well as destinations that point at each other.

use crate::Address;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Invocations of one function in one chain (Lambda developer guide, "recursive loop detection": about 16, 2026-11).
pub const LINEAGE_MAX: u32 = 16;
/// Functions of one chain that are remembered; of more, those invoked least are forgotten.
const FUNCTIONS_MAX: usize = 32;
/// Longest trace header that is handed on; a longer one is replaced.
const HEADER_BYTES: usize = 1024;

/// The chain that a trace header tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage(Vec<(u32, u32)>);

/// A function was invoked too often in one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the function was invoked {count} times in one chain of invocations, which looks like an endless loop"
)]
pub struct LoopError {
    /// How often.
    pub count: u32,
}

impl Lineage {
    /// Reads it; what cannot be read counts as nothing.
    pub fn read(header: &str) -> Self {
        let field = header.split(';').find_map(|field| field.trim().strip_prefix("Lineage="));
        let entries = field.unwrap_or("").split('|').filter_map(|entry| {
            let (function, count) = entry.rsplit_once(':')?;
            Some((u32::from_str_radix(function, 16).ok()?, count.parse().ok()?))
        });
        Self(entries.take(FUNCTIONS_MAX).collect())
    }

    /// One more invocation of this function. Errors: [`LoopError`], at more than [`LINEAGE_MAX`].
    pub fn step(&mut self, address: &Address) -> Result<(), LoopError> {
        let mut hasher = DefaultHasher::new();
        (address.tenant, &address.name).hash(&mut hasher);
        let function = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == function) {
            if *count >= LINEAGE_MAX {
                return Err(LoopError { count: *count });
            }
            *count += 1;
            return Ok(());
        }
        if self.0.len() >= FUNCTIONS_MAX
            && let Some(least) = (0..self.0.len()).min_by_key(|at| self.0[*at].1)
        {
            self.0.remove(least);
        }
        self.0.push((function, 1));
        Ok(())
    }

    /// The header with this lineage in it.
    pub fn write(&self, header: &str) -> String {
        let header = if header.len() > HEADER_BYTES { "" } else { header };
        let others = header.split(';').map(str::trim);
        let others = others.filter(|field| !field.is_empty() && !field.starts_with("Lineage="));
        let mut text = others.collect::<Vec<_>>().join(";");
        for (at, (function, count)) in self.0.iter().enumerate() {
            text.push_str(if at > 0 {
                "|"
            } else if text.is_empty() {
                "Lineage="
            } else {
                ";Lineage="
            });
            text.push_str(&format!("{function:08x}:{count}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FunctionId, TenantId};

    fn address(name: &str) -> Address {
        let tenant = TenantId::from_number(1);
        Address { tenant, name: name.to_owned(), function: FunctionId(1), qualifier: None }
    }

    // A loop ends at the sixteenth round, however many functions take part and whatever else the header says.
    #[test]
    fn loops_end() {
        let mut header = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned();
        for round in 1..=17 {
            for name in ["a", "b"] {
                let mut lineage = Lineage::read(&header);
                let step = lineage.step(&address(name));
                assert_eq!(step.is_ok(), round <= LINEAGE_MAX, "round {round}");
                header = lineage.write(&header);
            }
        }
        assert!(header.starts_with("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0;Lineage="));
        assert_eq!(header.matches(":16").count(), 2);
    }

    // Long chains of different functions are no loop, and do not grow the header without end; nonsense is no lineage.
    #[test]
    fn headers_stay_short() {
        let mut header = "".to_owned();
        for number in 0..1000 {
            let mut lineage = Lineage::read(&header);
            assert_eq!(lineage.step(&address(&number.to_string())), Ok(()));
            header = lineage.write(&header);
        }
        assert!(header.len() < 400, "{}", header.len());
        assert_eq!(Lineage::read("Lineage=x:y|1|:;Lineage=1:1"), Lineage::default());
    }
}
