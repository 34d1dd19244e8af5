//! `/facts.json`: what the run has stated, as in its plain lines, and each counter.

use crate::escape::Json;
use crate::status::{Plain, Status};
use core::fmt;

pub(crate) fn write(out: &mut impl fmt::Write, status: &Status<'_>) -> fmt::Result {
    let Status { image, version, mode, up, groups, facts } = *status;
    write!(
        out,
        "{{\"image\":\"{}\",\"version\":\"{}\",\"mode\":\"{}\",\"up_seconds\":{}.{:03},\"facts\":{{",
        Json(image),
        Json(version),
        Json(mode),
        up.as_secs(),
        up.subsec_millis(),
    )?;
    for (index, fact) in facts.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}\n\"{}\":\"{}\"", Json(fact.key), Json(fact.value))?;
    }
    out.write_str("\n},\"counters\":[")?;
    let mut comma = "";
    for group in groups {
        for row in group.rows {
            write!(out, "{comma}\n{{\"name\":\"{}\"", Json(row.name))?;
            if let Some(device) = group.device {
                write!(out, ",\"device\":\"{}\"", Json(device))?;
            }
            write!(out, ",\"value\":{}}}", Plain(row.unit, row.value))?;
            comma = ",";
        }
    }
    out.write_str("\n]}\n")
}

#[cfg(test)]
mod tests {
    use crate::status::tests::{NASTY, example};
    use std::string::String;

    #[test]
    fn another_reader_of_json_finds_every_fact_and_every_counter() {
        let mut text = String::new();
        example(|status| super::write(&mut text, status).unwrap());
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["facts"]["mode"], "normal");
        assert_eq!(read["facts"]["blk0.id"], NASTY);
        assert_eq!(read["up_seconds"], 61.5);
        assert_eq!(read["counters"][1]["device"], "blk0");
        assert_eq!(read["counters"][2]["value"], u64::MAX);
        assert_eq!(read["counters"][3]["value"], 12.034);
        assert_eq!(read["counters"].as_array().unwrap().len(), 5);
    }
}
