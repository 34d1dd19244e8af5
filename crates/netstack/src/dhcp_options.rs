//! The options of a DHCP message. A server with many options may put some into the fields for names (RFC 2132, section
//! 9.3, "Option Overload").

use alloc::vec::Vec;
use core::ops::Range;

/// The fields that may hold options, and the offset of the options, after the magic cookie (RFC 2131, section 2).
const SNAME: Range<usize> = 44..108;
const FILE: Range<usize> = 108..236;
const OPTIONS: usize = 240;

const PAD: u8 = 0;
const ROUTER: u8 = 3;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// The message with all options at its end, in their order of precedence (RFC 2131, section 4.1), with empty names and
/// only the first of several routers. `None` if it is too short to have options.
pub(super) fn unfolded(datagram: &[u8]) -> Option<Vec<u8>> {
    let (fixed, own) = datagram.split_at_checked(OPTIONS)?;
    let overload = options(own).find_map(|option| match option {
        [OVERLOAD, 1, fields] => Some(*fields),
        _ => None,
    });
    let field = |bit: u8, range: Range<usize>| {
        let used = overload.is_some_and(|fields| fields & bit != 0);
        fixed.get(range).filter(|_| used).unwrap_or_default()
    };
    let mut message = fixed.to_vec();
    message.get_mut(SNAME.start..FILE.end)?.fill(0);
    for option in [own, field(1, FILE), field(2, SNAME)].into_iter().flat_map(options) {
        match option {
            [OVERLOAD, ..] => {}
            [ROUTER, len, a, b, c, d, ..] if *len > 4 => message.extend([ROUTER, 4, *a, *b, *c, *d]),
            option => message.extend_from_slice(option),
        }
    }
    message.push(END);
    Some(message)
}

/// The options in a field, each with its kind and its length, up to the field's end or the first that does not fit.
fn options(mut field: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        while let Some((&PAD, rest)) = field.split_first() {
            field = rest;
        }
        let [kind, len, ..] = *field else { return None };
        let (option, rest) = field.split_at_checked(usize::from(len).saturating_add(2))?;
        field = rest;
        (kind != END).then_some(option)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sname: &[u8], file: &[u8], options: &[u8]) -> Vec<u8> {
        let mut bytes = std::vec![7; SNAME.start];
        for (field, len) in [(sname, SNAME.len()), (file, FILE.len())] {
            let mut field = field.to_vec();
            field.resize(len, 0);
            bytes.extend(field);
        }
        bytes.extend([0x63, 0x82, 0x53, 0x63]);
        bytes.extend(options);
        bytes
    }

    fn gathered(sname: &[u8], file: &[u8], options: &[u8]) -> Vec<u8> {
        let message = unfolded(&message(sname, file, options)).unwrap();
        assert_eq!(message[..SNAME.start], [7; SNAME.start]);
        assert_eq!(message[SNAME.start..FILE.end], [0; 192]);
        message[OPTIONS..].to_vec()
    }

    #[test]
    fn options_in_sname_and_file_count_where_option_52_says_so() {
        let (file, sname) = ([53, 1, 2, 255], [0, 1, 4, 255, 0, 0, 0, 255]);
        assert_eq!(gathered(&sname, &file, &[54, 1, 9, 255]), [54, 1, 9, 255]);
        assert_eq!(gathered(&sname, &file, &[52, 1, 1, 54, 1, 9, 255]), [54, 1, 9, 53, 1, 2, 255]);
        assert_eq!(gathered(&sname, &file, &[52, 1, 2, 255]), [1, 4, 255, 0, 0, 0, 255]);
        let both = [53, 1, 2, 1, 4, 255, 0, 0, 0, 255];
        assert_eq!(gathered(&sname, &file, &[0, 0, 52, 1, 3, 0, 255]), both);
    }

    #[test]
    fn the_first_of_several_routers_is_used() {
        let two = [3, 8, 10, 0, 2, 2, 10, 0, 2, 3, 255];
        assert_eq!(gathered(b"", b"", &two), [3, 4, 10, 0, 2, 2, 255]);
        assert_eq!(gathered(b"", b"", &[3, 4, 10, 0, 2, 2, 255]), [3, 4, 10, 0, 2, 2, 255]);
    }

    #[test]
    fn an_option_that_does_not_fit_ends_only_its_field() {
        assert_eq!(gathered(b"", &[53, 1, 2, 9, 200, 1], &[52, 1, 1, 1, 40, 255]), [53, 1, 2, 255]);
        assert_eq!(gathered(b"", b"", &[]), [255]);
        assert_eq!(gathered(b"", b"", &[53]), [255]);
        for len in 0..OPTIONS {
            assert_eq!(unfolded(&std::vec![0; len]), None);
        }
    }
}
