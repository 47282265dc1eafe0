//! The starter alone, for the tests and measurements of this crate; `peek` has it as a command of its own.

fn main() {
    sandbox::container::starter::main(&[]);
}
