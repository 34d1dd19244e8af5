setup:
	true
test:
	scripts/cargo test --workspace --exclude postern-kernel
