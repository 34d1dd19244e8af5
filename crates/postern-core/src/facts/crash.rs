//! An exception that nobody handles.

use super::Stated::Exception;
use super::Value::{Hex, HexOr, OneOf};
use super::facts;

facts! {
    EXCEPTION: 0 = "exception", Hex, Exception, "the exception's vector";
    OFFSET: 0 = "exception.offset", HexOr("outside"), Exception, "where in the image the interrupted instruction is";
    SRR0: 0 = "exception.srr0", Hex, Exception, "address of that instruction; not in a secure VM unless `report=full`";
    DAR: 0 = "exception.dar", Hex, Exception, "data address register; not in a secure VM unless `report=full`";
    R3: 0 = "exception.r3", Hex, Exception, "r3 as it was when it was interrupted; not in a secure VM unless `report=full`";
    WAY: 0 = "exception.way", OneOf(&["registered", "vector"]), Exception, "`registered` when it came by a handler that `ibm,nmi-register` took";
}
