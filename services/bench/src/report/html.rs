//! The results as a self-contained HTML page, with bars for time, CPU and memory.

use std::fmt::Write as _;
use std::io::{self, Write, stdout};

use super::{CPU_SECONDS_MIN, CaseReport, Head, cpu_seconds, mib, notes, ratio, seconds};
use crate::run::{Measured, Run, Verdict};

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
h2{font-size:1.05rem;margin:1.6rem 0 .2rem}
p{margin:.2rem 0}
.what,.head{color:GrayText}
table{border-collapse:collapse;width:100%}
th{font-weight:normal;color:GrayText;text-align:left}
td{padding:1px 0;vertical-align:middle}
td.n{width:8.5rem;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
td.v{width:24%}
.b{display:inline-block;height:.8rem;border-radius:2px;vertical-align:middle;margin-right:.4rem;min-width:2px}
.s0{background:#2f7ed8}.s1{background:#e07b39}.s2{background:#4aa564}.s3{background:#9a5fc0}
.r{color:GrayText;font-size:.85em}
.bad{color:#c33;font-weight:600}";

/// Prints the page.
pub(super) fn print(head: &Head, cases: &[CaseReport]) -> io::Result<()> {
    let page = page(head, cases).map_err(io::Error::other)?;
    stdout().lock().write_all(page.as_bytes())
}

fn page(head: &Head, cases: &[CaseReport]) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let title = format!("tithon tools bench {}", head.command);
    write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    )?;
    write!(page, "<meta name=viewport content=\"width=device-width\"><h1>{title}</h1>")?;
    write!(page, "<p class=head>{}; {}</p>", escape(&head.machine), escape(&head.sizes))?;
    for version in &head.versions {
        write!(page, "<p class=head>{}: {}</p>", escape(&version.subject), escape(&version.version))?;
    }
    for case in cases {
        section(case, &mut page)?;
    }
    page.push_str("</html>\n");
    Ok(page)
}

fn section(case: &CaseReport, page: &mut String) -> std::fmt::Result {
    write!(page, "<h2>{}</h2><p class=what>{}</p>", escape(&case.name), escape(&case.what))?;
    page.push_str("<table><tr><th><th>time<th>processor<th>peak memory<th></tr>");
    for (i, measured) in case.measured.iter().enumerate() {
        write!(page, "<tr><td class=n>{}", escape(&measured.subject))?;
        let colour = i % 4;
        let case_of = (case, measured);
        bar(case_of, colour, |run| run.wall, seconds, 0.0, page)?;
        bar(case_of, colour, |run| run.cpu, cpu_seconds, CPU_SECONDS_MIN, page)?;
        bar(case_of, colour, |run| run.peak_bytes as f64, mib, 0.0, page)?;
        match (&measured.failure, &measured.answer) {
            (None, Verdict::Same) => page.push_str("<td class=r>same answer"),
            _ => page.push_str("<td>"),
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
    for measured in &case.measured {
        for note in notes(measured) {
            let class = if note.starts_with("beside") { "r" } else { "bad" };
            write!(page, "<p class={class}>{}: {}</p>", escape(&measured.subject), escape(&note))?;
        }
    }
    Ok(())
}

/// A bar whose length is the number relative to the largest one of the case.
fn bar(
    (case, measured): (&CaseReport, &Measured),
    colour: usize,
    of: fn(&Run) -> f64,
    print: fn(f64) -> String,
    ratio_from: f64,
    page: &mut String,
) -> std::fmt::Result {
    let value = |measured: &Measured| measured.median(|run| Some(of(run)));
    let largest = case.measured.iter().filter_map(value).fold(f64::MIN_POSITIVE, f64::max);
    let Some(value) = value(measured) else {
        page.push_str("<td class=v>");
        return Ok(());
    };
    let width = value / largest * 50.0;
    write!(
        page,
        "<td class=v><span class=\"b s{colour}\" style=\"width:{width:.1}%\"></span>{}",
        print(value)
    )?;
    if let Some(ratio) = ratio(case, measured, |run| Some(of(run)), ratio_from) {
        write!(page, " <span class=r>{ratio:.1}x</span>")?;
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::*;
    use crate::run::Failure;

    #[test]
    fn a_page_holds_bars_and_no_foreign_markup() {
        let measured = |subject: &str, walls: &[f64], failure| Measured {
            subject: subject.to_owned(),
            first: None,
            runs: walls.iter().map(|&wall| Run { wall, ..Run::default() }).collect(),
            answer: Verdict::Alone,
            failure,
        };
        let broken = Some(Failure::Call("<script>".to_owned()));
        let case = CaseReport {
            name: "store/x".to_owned(),
            what: "a & b".to_owned(),
            samples: None,
            measured: vec![
                measured("a", &[0.5], None),
                measured("b", &[2.0], None),
                measured("c", &[], broken),
            ],
        };
        let version = Version { subject: "a".into(), version: "1".into() };
        let head = Head { command: "store", machine: "m".into(), versions: vec![version], sizes: "s".into() };
        let page = page(&head, &[case]).unwrap();
        assert!(
            page.contains("width:12.5%") && page.contains("width:50.0%") && page.contains("4.0x"),
            "{page}"
        );
        assert!(page.contains("a &amp; b") && page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }
}
