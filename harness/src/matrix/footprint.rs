//! Where the image under test ends in guest memory, for tests that place memory behind it.

use crate::finding::Finding;
use crate::matrix::fixture::{Context, Failure};
use postern_ultravisor::FRAME_SIZE;
use postern_ultravisor::image::KernelImage;
use std::io;

/// Address at which QEMU loads a kernel.
pub const BASE: u64 = 4 << 20;

/// The first frame behind the image, including its zeroed memory.
///
/// # Errors
/// The image's file.
pub fn end(context: &Context) -> Result<u64, Failure> {
    let image = KernelImage::load(&context.kernel)
        .map_err(|error| Finding::File(context.kernel.clone(), io::Error::other(error)))?;
    Ok((BASE + image.memory()).next_multiple_of(FRAME_SIZE))
}
