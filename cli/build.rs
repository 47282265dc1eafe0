//! Has the linker keep one copy of functions whose code is the same, of which generic code makes many.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Where rustc links by its own lld (since Rust 1.90). Other linkers may not know the option, and do without.
    if std::env::var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
    // A crate with settings of its own in the profile, as this one, loses the profile's `strip`.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
}
