//! Calls into Open Firmware's client interface, as SLOF and VOF have it: 32-bit big-endian cells.

use crate::client_interface::{ClientError, ClientInterface, NAME_SIZE, Name, Phandle};
use core::ffi::CStr;
use papr::cas::Vectors;

unsafe extern "C" {
    /// Defined in `client_call.S`.
    fn postern_client_call(cells: *mut u32, entry: u32, msr: u64) -> i64;
}

/// Most argument and return cells of one call.
const MAX_CELLS: usize = 8;
/// The standard's -1, as a cell.
const MINUS_ONE: u32 = u32::MAX;
/// Firmware may write a longer name than the standard allows: spare bytes of the buffer for it.
const NAME_SLACK: usize = NAME_SIZE;

/// Open Firmware, which entered the image and can be called.
#[derive(Debug)]
pub struct OpenFirmware {
    entry: u32,
    msr: u64,
}

/// An open device instance.
#[derive(Clone, Copy, Debug)]
struct Instance(u32);

impl OpenFirmware {
    /// Firmware with the client interface at `entry`, which runs with the state `msr`.
    ///
    /// # Safety
    /// Both are as firmware left them when it entered the image, it has not been told to quiesce, and
    /// nobody has written to its memory.
    pub unsafe fn new(entry: usize, msr: u64) -> Result<Self, ClientError> {
        Ok(Self { entry: address(entry)?, msr })
    }

    /// One call.
    ///
    /// # Safety
    /// The addresses among `args` are of memory that firmware may use as the service says.
    unsafe fn call<const RETS: usize>(
        &mut self,
        service: &'static CStr,
        args: &[u32],
    ) -> Result<[u32; RETS], ClientError> {
        let name = service.to_str().unwrap_or_default();
        let mut cells = [0_u32; 3 + 2 * MAX_CELLS];
        if args.len() > MAX_CELLS || RETS > MAX_CELLS {
            return Err(ClientError::Refused(name));
        }
        let header = [address(service.as_ptr().expose_provenance())?, address(args.len())?, address(RETS)?];
        let words = header.iter().chain(args);
        for (cell, word) in cells.iter_mut().zip(words) {
            *cell = word.to_be();
        }
        address(cells.as_ptr().expose_provenance())?;
        // SAFETY: `new` was promised a live client interface; the cells hold a call of it and have room for
        // its results; the addresses among the arguments are of memory that the service may use, as the caller promises.
        let status = unsafe { postern_client_call(cells.as_mut_ptr(), self.entry, self.msr) };
        if status != 0 {
            return Err(ClientError::Refused(name));
        }
        let mut rets = [0; RETS];
        for (ret, cell) in rets.iter_mut().zip(cells.iter().skip(header.len()).skip(args.len())) {
            *ret = u32::from_be(*cell);
        }
        Ok(rets)
    }

    /// A call with one result.
    ///
    /// # Safety
    /// As for [`Self::call`].
    unsafe fn ask(&mut self, service: &'static CStr, args: &[u32]) -> Result<u32, ClientError> {
        // SAFETY: as the caller promises.
        let [answer] = unsafe { self.call(service, args)? };
        Ok(answer)
    }

    /// The node at `path`.
    pub fn find(&mut self, path: &CStr) -> Result<Option<Phandle>, ClientError> {
        // SAFETY: firmware reads a path that ends in 0 and outlives the call.
        let answer = unsafe { self.ask(c"finddevice", &[address(path.as_ptr().expose_provenance())?])? };
        Ok(Some(answer).filter(|&node| node != 0 && node != MINUS_ONE))
    }

    /// The value of a property that has one cell.
    pub fn cell(&mut self, node: Phandle, name: &[u8]) -> Result<Option<u32>, ClientError> {
        let name = Name::new(name)?;
        let mut value = [0; 4];
        if self.property_len(node, &name)? != Some(value.len()) {
            return Ok(None);
        }
        self.property(node, &name, &mut value)?;
        Ok(Some(u32::from_be_bytes(value)))
    }

    /// Sets a property of one cell.
    pub fn set_cell(&mut self, node: Phandle, name: &'static CStr, value: u32) -> Result<(), ClientError> {
        let bytes = value.to_be_bytes();
        let name = address(name.as_ptr().expose_provenance())?;
        // SAFETY: firmware reads a name that ends in 0 and four bytes, both of which outlive the call.
        match unsafe { self.ask(c"setprop", &[node, name, address(bytes.as_ptr().expose_provenance())?, 4])? }
        {
            4 => Ok(()),
            bad => Err(ClientError::Nonsense("setprop", bad)),
        }
    }

    /// Claims `size` bytes of firmware's free memory, at a multiple of `align`. Returns their address.
    pub fn claim(&mut self, size: u32, align: u32) -> Result<u32, ClientError> {
        // SAFETY: no argument is an address of memory in use: firmware chooses from what is free.
        let at = unsafe { self.ask(c"claim", &[0, size, align])? };
        if at == 0 || at == MINUS_ONE || !at.is_multiple_of(align) || at.checked_add(size).is_none() {
            return Err(ClientError::Nonsense("claim", at));
        }
        Ok(at)
    }

    fn open(&mut self, path: &CStr) -> Result<Instance, ClientError> {
        // SAFETY: firmware reads a path that ends in 0 and outlives the call.
        match unsafe { self.ask(c"open", &[address(path.as_ptr().expose_provenance())?])? } {
            bad @ (0 | MINUS_ONE) => Err(ClientError::Nonsense("open", bad)),
            instance => Ok(Instance(instance)),
        }
    }

    /// Instantiates RTAS at `base`, where there is room for the bytes of `rtas-size`. Returns the address of its
    /// entry point.
    ///
    /// # Safety
    /// Nothing else is, or will be, in that memory.
    pub unsafe fn instantiate_rtas(&mut self, base: u32) -> Result<u32, ClientError> {
        let rtas = self.open(c"/rtas")?;
        let method = address(c"instantiate-rtas".as_ptr().expose_provenance())?;
        // SAFETY: firmware reads a constant that ends in 0, and writes to memory that the caller gave away.
        match unsafe { self.call(c"call-method", &[method, rtas.0, base])? } {
            [0, entry] if entry != 0 => Ok(entry),
            [0, entry] => Err(ClientError::Nonsense("instantiate-rtas", entry)),
            [caught, _] => Err(ClientError::Nonsense("call-method", caught)),
        }
    }

    /// Tells firmware what this kernel supports. On success firmware changes its tree.
    pub fn negotiate(&mut self, vectors: &Vectors) -> Result<(), ClientError> {
        const METHOD: &CStr = c"ibm,client-architecture-support";
        let root = self.open(c"/")?;
        let (start, len) = (vectors.as_bytes().as_ptr().expose_provenance(), vectors.as_bytes().len());
        address(start.saturating_add(len))?;
        let method = address(METHOD.as_ptr().expose_provenance())?;
        // SAFETY: firmware reads a constant that ends in 0, and the vectors, whose length is in them.
        match unsafe { self.call(c"call-method", &[method, root.0, address(start)?])? } {
            [0, 0] => Ok(()),
            [0, refused] => Err(ClientError::Nonsense("ibm,client-architecture-support", refused)),
            [caught, _] => Err(ClientError::Nonsense("call-method", caught)),
        }
    }

    /// The interrupt server number of the CPU that runs this; 0 when firmware does not say.
    pub fn boot_cpu(&mut self) -> Result<u32, ClientError> {
        let Some(chosen) = self.find(c"/chosen")? else { return Ok(0) };
        let Some(instance) = self.cell(chosen, b"cpu")? else { return Ok(0) };
        // SAFETY: no argument is an address.
        match unsafe { self.ask(c"instance-to-package", &[instance])? } {
            0 | MINUS_ONE => Ok(0),
            cpu => Ok(self.cell(cpu, b"reg")?.unwrap_or(0)),
        }
    }

    /// Ends firmware, which stops its devices. It must not be called again.
    pub fn quiesce(mut self) -> Result<(), ClientError> {
        // SAFETY: no argument is an address.
        let [] = unsafe { self.call(c"quiesce", &[])? };
        Ok(())
    }
}

/// An address or a length as a cell.
fn address(of: usize) -> Result<u32, ClientError> {
    u32::try_from(of).map_err(|_| ClientError::BeyondFirmware(of as u64))
}

fn node(answer: u32) -> Option<Phandle> {
    Some(answer).filter(|&node| node != 0)
}

impl ClientInterface for OpenFirmware {
    fn root(&mut self) -> Result<Phandle, ClientError> {
        // SAFETY: no argument is an address.
        match unsafe { self.ask(c"peer", &[0])? } {
            bad @ (0 | MINUS_ONE) => Err(ClientError::Nonsense("peer", bad)),
            root => Ok(root),
        }
    }

    fn child(&mut self, of: Phandle) -> Result<Option<Phandle>, ClientError> {
        // SAFETY: no argument is an address.
        match unsafe { self.ask(c"child", &[of])? } {
            MINUS_ONE => Err(ClientError::Nonsense("child", MINUS_ONE)),
            child => Ok(node(child)),
        }
    }

    fn peer(&mut self, of: Phandle) -> Result<Option<Phandle>, ClientError> {
        // SAFETY: no argument is an address.
        match unsafe { self.ask(c"peer", &[of])? } {
            MINUS_ONE => Err(ClientError::Nonsense("peer", MINUS_ONE)),
            peer => Ok(node(peer)),
        }
    }

    fn next_property(&mut self, of: Phandle, previous: &Name) -> Result<Option<Name>, ClientError> {
        let mut next = [0_u8; NAME_SIZE + NAME_SLACK];
        let previous = address(previous.padded().as_ptr().expose_provenance())?;
        let into = address(next.as_mut_ptr().expose_provenance())?;
        // SAFETY: firmware reads a name that ends in 0 and writes into a buffer of this function, which has room for the
        // longest name and more.
        match unsafe { self.ask(c"nextprop", &[of, previous, into])? } {
            1 => Name::new(&next).map(Some),
            0 => Ok(None),
            bad => Err(ClientError::Nonsense("nextprop", bad)),
        }
    }

    fn property_len(&mut self, of: Phandle, name: &Name) -> Result<Option<usize>, ClientError> {
        let name = address(name.padded().as_ptr().expose_provenance())?;
        // SAFETY: firmware reads a name that ends in 0 and outlives the call.
        match unsafe { self.ask(c"getproplen", &[of, name])? } {
            MINUS_ONE => Ok(None),
            len => Ok(Some(len as usize)),
        }
    }

    fn property(&mut self, of: Phandle, name: &Name, into: &mut [u8]) -> Result<(), ClientError> {
        let name = address(name.padded().as_ptr().expose_provenance())?;
        let (start, len) = (address(into.as_mut_ptr().expose_provenance())?, address(into.len())?);
        start.checked_add(len).ok_or(ClientError::BeyondFirmware(start.into()))?;
        // SAFETY: firmware reads a name that ends in 0, and writes at most `len` bytes into `into`, which is the caller's
        // alone.
        match unsafe { self.ask(c"getprop", &[of, name, start, len])? } {
            read if read == len => Ok(()),
            bad => Err(ClientError::Nonsense("getprop", bad)),
        }
    }

    fn path(&mut self, of: Phandle, into: &mut [u8]) -> Result<usize, ClientError> {
        let start = address(into.as_mut_ptr().expose_provenance())?;
        // SAFETY: firmware writes at most `into.len()` bytes into `into`, which is the caller's alone.
        match unsafe { self.ask(c"package-to-path", &[of, start, address(into.len())?])? } {
            MINUS_ONE => Err(ClientError::Nonsense("package-to-path", MINUS_ONE)),
            len => Ok(len as usize),
        }
    }
}
