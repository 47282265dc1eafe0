//! How long things take that the scheduler only asks for.

use model::Span;
use rand::RngExt;
use rand_pcg::Pcg64;

/// A length of time that may vary.
#[derive(Clone, Debug, PartialEq)]
pub enum Delay {
    /// Always the same.
    Constant(Span),
    /// Any of these, each as likely as the other: draws from any distribution. Not empty.
    Drawn(Vec<Span>),
}

impl Delay {
    pub(crate) fn draw(&self, random: &mut Pcg64) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Drawn(spans) => spans[random.random_range(0..spans.len())],
        }
    }
}

/// What starts take.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// From the start of an instance until it can take an invocation.
    pub cold: Delay,
    /// From the dispatch to an instance that is there until its handler runs.
    pub warm: Delay,
    /// Until a new host is ready.
    pub host: Delay,
}
