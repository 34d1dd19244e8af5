//! `/`: a page for a person, without scripts, that a browser loads anew every two seconds.

use crate::escape::Html;
use crate::status::{Group, Plain, Row, Status, Unit};
use core::fmt;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--card:#8881;--dim:#666}\
@media(prefers-color-scheme:dark){:root{--dim:#a0a0a0}}\
body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem 1.25rem 3rem}\
header{border-bottom:1px solid var(--line);margin-bottom:1rem}\
h1{font-size:1.5rem;margin:.3rem 0}h1 small,header p,footer,td small{color:var(--dim);font-weight:400}\
header p{margin:.2rem 0 .9rem}h2{font-size:1rem;margin:0 0 .4rem}\
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:.9rem}\
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}\
.all{grid-column:1/-1}table{border-collapse:collapse;width:100%}\
th{font-weight:400;text-align:left;padding:.15rem .8rem .15rem 0}\
td{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
.all td{text-align:left;white-space:normal;overflow-wrap:anywhere}.all th,.all td{font:13px/1.5 ui-monospace,monospace}\
tr+tr{border-top:1px solid var(--line)}meter{width:100%}footer{margin-top:1rem}";

pub(crate) fn write(out: &mut impl fmt::Write, status: &Status<'_>) -> fmt::Result {
    let Status { image, version, mode, up, groups, facts } = *status;
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"2\">\n\
         <title>{0}: status</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head>\n\
         <body><header><h1>{0} <small>{1}</small></h1>\n<p>{2} guest, up {3}</p></header>\n<main>\n",
        Html(image),
        Html(version),
        Html(mode),
        Span(up.as_secs()),
    )?;
    groups.iter().try_for_each(|one| group(out, one))?;
    out.write_str("<section class=\"all\"><h2>Facts so far</h2><table>\n")?;
    for fact in facts {
        writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", Html(fact.key), Html(fact.value))?;
    }
    out.write_str(
        "</table></section>\n</main>\n<footer>The same for programs: <a href=\"/metrics\">/metrics</a> for \
         Prometheus, <a href=\"/facts.json\">/facts.json</a>.</footer>\n</body></html>\n",
    )
}

fn group(out: &mut impl fmt::Write, group: &Group<'_>) -> fmt::Result {
    write!(out, "<section><h2>{}", Html(group.title))?;
    if let Some(device) = group.device {
        write!(out, " {}", Html(device))?;
    }
    out.write_str("</h2><table>\n")?;
    for Row { label, unit, value, of, .. } in group.rows {
        write!(out, "<tr><th>{}</th><td>", Html(label))?;
        amount(out, *unit, *value)?;
        if let Some(most) = *of {
            out.write_str(" <small>of</small> ")?;
            amount(out, *unit, most)?;
        }
        out.write_str("</td></tr>\n")?;
        if let Some(most) = *of {
            let share = value.saturating_mul(100).checked_div(most).unwrap_or(0);
            writeln!(
                out,
                "<tr><td colspan=\"2\"><meter min=\"0\" max=\"100\" value=\"{}\" aria-label=\"{}\"></meter></td></tr>",
                share.min(100),
                Html(label)
            )?;
        }
    }
    out.write_str("</table></section>\n")
}

/// A value with its unit, digits in threes.
fn amount(out: &mut impl fmt::Write, unit: Unit, value: u64) -> fmt::Result {
    match unit {
        Unit::Count => write!(out, "{}", Threes(value)),
        Unit::Milliseconds => write!(out, "{} <small>s</small>", Plain(unit, value)),
        Unit::Bytes => {
            // The largest unit of which there are at least ten, so that no figure is lost that matters.
            let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
            let fits = units.iter().find(|(shift, _)| value >> shift >= 10 || exact(value, *shift));
            let (shift, name) = fits.copied().unwrap_or((0, "bytes"));
            write!(out, "{} <small>{name}</small>", Threes(value >> shift))
        }
    }
}

fn exact(value: u64, shift: u32) -> bool {
    value != 0 && value.trailing_zeros() >= shift
}

struct Threes(u64);

impl fmt::Display for Threes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (more, last) = (self.0 / 1000, self.0 % 1000);
        if more == 0 { write!(f, "{last}") } else { write!(f, "{},{last:03}", Self(more)) }
    }
}

/// Seconds as a person says them.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, hours, days) = (self.0 / 60, self.0 / 3600, self.0 / 86400);
        match self.0 {
            ..60 => write!(f, "{} s", self.0),
            60..3600 => write!(f, "{minutes} min {} s", self.0 % 60),
            3600..86400 => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, Threes, amount};
    use crate::status::Unit;
    use crate::status::tests::example;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn page() -> String {
        let mut text = String::new();
        example(|status| super::write(&mut text, status).unwrap());
        text
    }

    #[test]
    fn the_page_is_whole_and_shows_no_text_as_markup() {
        let page = page();
        // Each element that is opened is closed, innermost first.
        let mut open = Vec::new();
        for tag in page.split('<').skip(1).map(|tag| tag.split_once('>').unwrap().0) {
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
                None if ["!doctype", "meta", "link"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        assert!(page.contains("<h2>Disk blk1</h2>") && page.contains("normal guest, up 1 min 1 s"));
        assert!(page.contains("1 <small>MiB</small> <small>of</small> 8 <small>MiB</small>"));
    }

    #[test]
    fn figures_have_separators_and_units() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_002_003, "1,002,003")] {
            assert_eq!(Threes(value).to_string(), text);
        }
        for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(Span(seconds).to_string(), text);
        }
        for (bytes, text) in [
            (0, "0 <small>bytes</small>"),
            (4097, "4,097 <small>bytes</small>"),
            (4096, "4 <small>KiB</small>"),
            (20_000_000, "19 <small>MiB</small>"),
        ] {
            let mut out = String::new();
            amount(&mut out, Unit::Bytes, bytes).unwrap();
            assert_eq!(out, text);
        }
    }
}
