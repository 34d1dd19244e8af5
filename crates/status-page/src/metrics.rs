//! `/metrics`: Prometheus' text format, version 0.0.4. The rows of a name stand together under its help and its type.

use crate::status::{Kind, Plain, Row, Status};
use core::fmt;

pub(crate) fn write(out: &mut impl fmt::Write, status: &Status<'_>) -> fmt::Result {
    let rows = || status.groups.iter().flat_map(|group| group.rows.iter().map(|row| (group.device, row)));
    for (index, (_, Row { name, label, kind, .. })) in rows().enumerate() {
        if rows().take(index).any(|(_, before)| before.name == *name) {
            continue;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        writeln!(out, "# HELP {name} {label}\n# TYPE {name} {kind}")?;
        for (device, row) in rows().filter(|(_, row)| row.name == *name) {
            let value = Plain(row.unit, row.value);
            match device {
                // Letters and digits: nothing that would have to be escaped.
                Some(device) => writeln!(out, "{name}{{device=\"{device}\"}} {value}")?,
                None => writeln!(out, "{name} {value}")?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::status::tests::example;
    use std::string::String;

    #[test]
    fn the_rows_of_a_name_stand_together_under_its_type() {
        let mut text = String::new();
        example(|status| super::write(&mut text, status).unwrap());
        assert_eq!(
            text,
            "# HELP postern_pool_bytes_in_use in use\n\
             # TYPE postern_pool_bytes_in_use gauge\n\
             postern_pool_bytes_in_use 1048576\n\
             # HELP postern_device_interrupts_total interrupts\n\
             # TYPE postern_device_interrupts_total counter\n\
             postern_device_interrupts_total{device=\"blk0\"} 3\n\
             postern_device_interrupts_total{device=\"blk1\"} 4\n\
             # HELP postern_ultracalls_total ultracalls\n\
             # TYPE postern_ultracalls_total counter\n\
             postern_ultracalls_total 18446744073709551615\n\
             # HELP postern_idle_seconds_total idle\n\
             # TYPE postern_idle_seconds_total counter\n\
             postern_idle_seconds_total 12.034\n"
        );
    }
}
