//! An exception that nobody handles.

use super::Stated::Exception;
use super::Value::{Hex, HexOr, OneOf};
use super::facts;

facts! {
    EXCEPTION: 0 = "exception", Hex, Exception, "the exception's vector";
    OFFSET: 0 = "exception.offset", HexOr("outside"), Exception, "offset of the interrupted instruction in the image; `outside`: it is not in the image";
    SRR0: 0 = "exception.srr0", Hex, Exception, "address of that instruction; only in an ordinary guest, or with `report=full` in an emulated secure VM";
    DAR: 0 = "exception.dar", Hex, Exception, "data address register; printed as `exception.srr0`";
    R3: 0 = "exception.r3", Hex, Exception, "r3 at the time of the interrupt; printed as `exception.srr0`";
    WAY: 0 = "exception.way", OneOf(&["registered", "vector"]), Exception, "`registered`: it came through a handler that `ibm,nmi-register` accepted; `vector`: through the exception vector";
}
