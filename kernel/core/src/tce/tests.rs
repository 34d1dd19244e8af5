//! Windows on honest and failing hypervisors.
