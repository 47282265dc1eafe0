//! Draws the made-up study of the tests into a directory: `cargo run -p report --example fixture -- DIR`.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a directory to draw into")?;
    let folder = std::path::Path::new(&folder);
    let (findings, records, facts) = fixture::study();
    let paths = report::draw(&findings, &records, &facts, folder)?;
    report::write_findings(&findings, folder)?;
    print!("{}", report::terminal_table(&findings));
    println!("{}", paths.html.display());
    Ok(())
}
