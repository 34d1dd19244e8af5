//! Changes the tree of a guest without firmware before its first instruction.

use super::Server;
use crate::doctor::{self, Edit};
use crate::{UvError, publish};

impl Server {
    /// Changes the tree whose address r3 holds at reset without firmware.
    pub(super) fn change_tree(&mut self, publish_node: bool, edits: &[Edit]) -> Result<(), UvError> {
        let order = self.order()?;
        let address = self.read(order, self.registers.gpr[0])?;
        if publish_node {
            publish::add_to_tree(&self.ram, address).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
        }
        if !self.reserve.is_empty() {
            publish::reserve(&self.ram, address, &self.reserve)
                .map_err(UvError::Ram)?
                .map_err(UvError::Publish)?;
        }
        if !edits.is_empty() {
            doctor::change(&self.ram, address, edits).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
        }
        for edit in edits {
            if let Edit::Move(to) = edit {
                doctor::copy(&self.ram, address, *to).map_err(UvError::Ram)?.map_err(UvError::Publish)?;
                self.write(order, self.registers.gpr[0], *to)?;
            }
        }
        Ok(())
    }
}
