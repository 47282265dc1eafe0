//! Colour on a terminal, and none anywhere else.

use std::env;
use std::io::IsTerminal;

/// Whether to colour, decided once for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// With colours.
    Coloured,
    /// Without.
    Plain,
}

/// A colour, as its number in SGR sequences (ECMA-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(u8);

impl Colour {
    /// Faint.
    pub const FAINT: Self = Self(2);
    /// For what went wrong.
    pub const RED: Self = Self(31);
    /// For what is to be looked at.
    pub const YELLOW: Self = Self(33);

    /// The colour of a name: always the same for the same one, never red.
    pub fn of(name: &str) -> Self {
        const COLOURS: [u8; 10] = [32, 33, 34, 35, 36, 92, 93, 94, 95, 96];
        let sum =
            name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self(COLOURS[sum % COLOURS.len()])
    }
}

impl Paint {
    /// For standard output: coloured where it is a terminal, unless NO_COLOR is set (no-color.org) or TERM is `dumb`.
    pub fn of_stdout() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !refused { Self::Coloured } else { Self::Plain }
    }

    /// A text in a colour.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{}m{text}\x1b[0m", colour.0),
            Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Without colour a text is untouched; a name has one colour.
    #[test]
    fn plain_is_plain() {
        assert_eq!(Paint::Plain.paint(Colour::RED, "x"), "x");
        assert_eq!(Paint::Coloured.paint(Colour::RED, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Colour::of("hello"), Colour::of("hello"));
    }
}
