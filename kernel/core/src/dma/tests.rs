//! The four combinations of mode and translation.

use crate::model::Cell;
use std::vec;

#[test]
fn what_the_device_reads_and_writes_is_what_the_driver_sees_in_all_four_cells() {
    for cell in Cell::ALL {
        let model = cell.model();
        let dma = model.dma(cell.access_platform);
        let device = model.device(cell.access_platform);
        let out: std::vec::Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
        let mapping = dma.map_to_device(&out).unwrap();
        let mut seen = vec![];
        for segment in mapping.segments() {
            assert!(dma.guard().allows(segment.bus, segment.len.into()));
            seen.extend(device.read(segment.bus.raw(), segment.len as usize).unwrap());
        }
        assert_eq!(seen, out, "{cell:?}");
        dma.unmap(mapping);

        let mut buffer = vec![0xee; 3000];
        let mapping = dma.map_from_device(&mut buffer).unwrap();
        let segment = mapping.segments()[0];
        device.write(segment.bus.raw(), &[7; 3000]).unwrap();
        dma.copy_back(&mapping, 3000, &mut buffer);
        dma.unmap(mapping);
        assert_eq!(buffer, vec![7; 3000], "{cell:?}");
    }
}
