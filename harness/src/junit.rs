//! Test results in JUnit's XML format, which CI systems read.

/// A test's result; reasons are on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It could not be run on this machine.
    Skipped(String),
    /// It failed.
    Failed(String),
}

impl Verdict {
    /// Its name in every list of results, and the reason.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Skipped(reason) => ("skipped", reason),
            Self::Failed(reason) => ("failed", reason),
        }
    }
}

/// A test that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The test's name: its group, `/`, the rest.
    pub name: String,
    /// How long it took, where that was measured.
    pub seconds: Option<f32>,
    /// Its result.
    pub verdict: Verdict,
}

/// A suite of that name, with its properties.
#[must_use]
pub fn suite(name: &str, properties: &[(&str, &str)], outcomes: &[Outcome]) -> String {
    let count = |word| outcomes.iter().filter(|outcome| outcome.verdict.parts().0 == word).count();
    let (failures, skipped) = (count("failed"), count("skipped"));
    let time = outcomes.iter().filter_map(|outcome| outcome.seconds).fold(0.0, |sum, seconds| sum + seconds);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{time:.1}\">\n\
         <properties>",
        outcomes.len(),
    );
    for (key, value) in properties {
        text += &format!("<property name=\"{}\" value=\"{}\"/>", escaped(key), escaped(value));
    }
    text.push_str("</properties>\n");
    for Outcome { name: test, seconds, verdict } in outcomes {
        let group = test.split('/').next().unwrap_or_default();
        let time = seconds.map_or_else(String::new, |seconds| format!(" time=\"{seconds:.1}\""));
        let case =
            format!("<testcase classname=\"{name}.{}\" name=\"{}\"{time}", escaped(group), escaped(test));
        let child = |tag, reason| format!("{case}><{tag} message=\"{}\"/></testcase>\n", escaped(reason));
        text += &match verdict {
            Verdict::Passed => format!("{case}/>\n"),
            Verdict::Skipped(reason) => child("skipped", reason),
            Verdict::Failed(reason) => child("failure", reason),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text escaped for an attribute of XML; control characters, which XML does not allow, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_counts_and_escapes() {
        let failed = Verdict::Failed("r3 < \"4\" & \x1b[2J\nmore".into());
        let outcomes = [
            Outcome { name: "vof/normal/ap-off".into(), seconds: Some(1.25), verdict: Verdict::Passed },
            Outcome { name: "violation/blk/x".into(), seconds: Some(2.0), verdict: failed },
            Outcome { name: "x/y".into(), seconds: None, verdict: Verdict::Skipped("no such QEMU".into()) },
        ];
        let text = suite("boot", &[("qemu", "10.0 <13>")], &outcomes);
        assert!(
            text.contains("<testsuite name=\"boot\" tests=\"3\" failures=\"1\" skipped=\"1\" time=\"3.2\">"),
            "{text}"
        );
        assert!(text.contains("<property name=\"qemu\" value=\"10.0 &lt;13&gt;\"/>"));
        assert!(text.contains("<testcase classname=\"boot.vof\" name=\"vof/normal/ap-off\" time=\"1.2\"/>"));
        assert!(text.contains("message=\"r3 &lt; &quot;4&quot; &amp;  [2J more\""), "{text}");
        assert!(text.contains("name=\"x/y\"><skipped message=\"no such QEMU\"/>"), "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '));
    }
}
