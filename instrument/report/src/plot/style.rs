//! The plots' colours, light and dark, and their style sheet.
//!
//! Colours are written out instead of being CSS variables, since drawing programs do not know those. The series' hues follow Okabe
//! and Ito's palette for colour-blind readers, darkened or lightened to at least 3:1 against the ground; text has at least 4.5:1.

use std::fmt::Write;

/// Colours of one scheme.
pub(crate) struct Palette {
    /// Ground of the page.
    pub(crate) paper: &'static str,
    /// Text.
    pub(crate) ink: &'static str,
    /// Text of less weight.
    pub(crate) muted: &'static str,
    /// Hairlines.
    pub(crate) rule: &'static str,
    /// Areas that carry something.
    pub(crate) wash: &'static str,
    /// Links and the first series.
    pub(crate) accent: &'static str,
    /// Found as declared.
    pub(crate) good: &'static str,
    /// Found otherwise.
    pub(crate) bad: &'static str,
    /// Series, in order.
    pub(crate) series: [&'static str; 6],
}

/// For light grounds and paper.
pub(crate) const LIGHT: Palette = Palette {
    paper: "#fdfdfb",
    ink: "#15181d",
    muted: "#59606a",
    rule: "#e3e4df",
    wash: "#f3f4f0",
    accent: "#0063ad",
    good: "#0b6e4f",
    bad: "#b3371a",
    series: ["#0072b2", "#d55e00", "#00875f", "#a6568f", "#9a6b00", "#56697d"],
};

/// For dark grounds.
pub(crate) const DARK: Palette = Palette {
    paper: "#0f1216",
    ink: "#eceef1",
    muted: "#a0a8b3",
    rule: "#2a3038",
    wash: "#181c22",
    accent: "#6db8f7",
    good: "#5fd0a5",
    bad: "#ff9776",
    series: ["#5db3f2", "#ff9a5c", "#4fcba0", "#dd9fd0", "#e2b64a", "#a9b7c6"],
};

/// Style sheet of all plots, for the page and for each file.
pub(crate) fn sheet() -> String {
    format!(
        "{SHAPES}{}@media (prefers-color-scheme:dark){{{}}}@media print{{{}}}",
        colours(&LIGHT),
        colours(&DARK),
        colours(&LIGHT)
    )
}

/// Everything but colour.
const SHAPES: &str = "\
.plot text{font:12px ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',\
'Noto Sans',Arial,sans-serif;font-variant-numeric:tabular-nums}\
.plot .head{font-size:17px;font-weight:650}.plot .name{font-weight:600}.plot .small{font-size:10.5px}\
.plot .code{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11.5px}\
.plot .end{text-anchor:end}.plot .mid{text-anchor:middle}\
.plot .grid,.plot .base,.plot .mark,.plot .line,.plot .whisker,.plot .guide{fill:none}\
.plot .base{stroke-width:1}.plot .line{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.plot .whisker{stroke-width:1.5}.plot .dashed{stroke-dasharray:5 4}.plot .guide{stroke-width:1.5;stroke-dasharray:2 4;stroke-linecap:round}\
.plot .mark{stroke-width:1.5;stroke-dasharray:6 4}.plot .faint{opacity:.32}.plot .soft{opacity:.16}.plot .half{opacity:.55}\
.plot .hollow{stroke-width:1.5}";

fn colours(palette: &Palette) -> String {
    let Palette { paper, ink, muted, rule, wash, .. } = palette;
    let mut out = format!(
        ".plot text{{fill:{muted}}}.plot .name,.plot .head,.plot .strong{{fill:{ink}}}\
         .plot .grid{{stroke:{rule}}}.plot .base{{stroke:{muted}}}\
         .plot .mark,.plot .guide{{stroke:{ink}}}.plot .cell{{fill:{wash}}}.plot .empty{{fill:{rule}}}\
         .plot .paper{{fill:{paper}}}.plot .ring{{stroke:{paper}}}.plot .inkfill{{fill:{ink}}}"
    );
    for (i, colour) in palette.series.iter().enumerate() {
        let n = i + 1;
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            ".plot .s{n}{{fill:{colour}}}.plot .line.s{n},.plot .whisker.s{n}{{fill:none;stroke:{colour}}}\
             .plot .hollow.s{n}{{fill:{paper};stroke:{colour}}}"
        );
    }
    out
}
