//! Sharing against ultravisors that fail, lie and stall.
