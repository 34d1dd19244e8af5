# The single entry for developers and CI: `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: bench release soak help setup tools image product test-image sabotage second-kernel virtio-drivers run linux test test-targets check cases lists versions fuzz fmt clippy doc book gdb clean
MAKEFLAGS += --no-print-directory

# What a run can be told; `make help` explains them and the harness has the defaults. Those with few values are
# looked at before anything is installed or built.
VARIABLES := FIRMWARE SVM AP CPU SMP MEM DISK DISK_WRITE NET PORT ECHO_PORT QEMU APPEND TIMEOUT RESULTS BLOB BEHAVIOUR FAULTS LOG
# A word of make's command line that no goal knows is a slip of the finger, and a run without it another run.
knows_run := $(VARIABLES)
knows_test := QEMU JOBS RESULTS EXCLUDE REPEAT LIMIT
knows_bench := QUICK KEEP ONLY
knows_soak := TIME SEED QEMU
knows_fuzz := TIME FUZZ
knows_setup := QEMU
knows_linux := QEMU SMP APPEND KERNEL MACHINE TOOL CONFIG
knows_gdb := FIRMWARE CPU MEM QEMU APPEND PORT
ifeq ($(MAKELEVEL),0)
known := $(sort $(foreach goal,$(MAKECMDGOALS),$(knows_$(goal))))
typed := $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v))
stray := $(filter-out $(known) MAKEFLAGS,$(typed))
$(if $(stray),$(error $(stray): no variable of 'make $(MAKECMDGOALS)'; $(if $(known),it takes $(known),it takes none)))
endif
# A folder mounted without permission to execute, or an archive that lost its files' modes.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
$(if $(shell test -x scripts/setup.sh && echo yes),,$(error programs in $(CURDIR) must not be executed (noexec, or lost \
	modes of files): copy or clone the source elsewhere))
endif
given = $(filter command environment,$(firstword $(origin $1)))
one_of = $(if $(call given,$1),$(if $(filter-out 1,$(words $($1)))$(filter-out $2,$($1)),\
	$(error $1='$($1)': wanted one of: $2)))
$(call one_of,FIRMWARE,slof vof bios)
$(call one_of,SVM,on off)
$(call one_of,AP,on off)
$(call one_of,CPU,power9 power10 power11)
$(if $(BLOB),$(call one_of,BLOB,demo none))
ifneq ($(filter bench,$(MAKECMDGOALS)),)
GROUPS := disk network start instructions scaling
$(if $(QUICK),$(call one_of,QUICK,1))
$(if $(KEEP),$(call one_of,KEEP,docs))
$(if $(filter-out $(GROUPS),$(ONLY)),$(error ONLY='$(ONLY)': wanted some of: $(GROUPS)))
$(if $(KEEP),$(if $(ONLY),$(error KEEP=docs keeps a whole report, and ONLY='$(ONLY)' is a part of one)))
endif
# Make passes on what it was given in the environment: the shell reads it there, whatever characters it has.
WORDS = $(foreach v,$(VARIABLES),$(if $(call given,$v),"$v=$$$v"))

CARGO := scripts/cargo
HOST := $(CARGO) -q run -p postern-harness --
# What takes long says what it is, and for how long.
WAITING := scripts/waiting
RUNNER := $(WAITING) 'building the runner, about a minute the first time' '' $(CARGO) -q build -p postern-harness
# The image has a target of its own and builds core and alloc for it, in a folder of its own, so that its
# flags and the host's never rebuild each other. What core optimises for speed at the cost of size is of no use in
# it: its lists are short.
TARGET := kernel/powerpc64le-postern.json
BARE := --target $(TARGET) -Ztrim-paths -Zjson-target-spec -Zbuild-std=core,alloc \
	-Zbuild-std-features=compiler-builtins-mem,optimize_for_size --target-dir build/cargo
SECOND := aarch64-unknown-none
SECOND_BARE := --target $(SECOND) -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem \
	--target-dir build/cargo --features example-aarch64-virt/image
# No path of the machine that built it ends up in the image: a secure guest is measured, and whoever checks
# the digest must be able to build the same bytes elsewhere.
# An empty list of encoded flags keeps out whatever flags the user has, in the environment or in cargo's own files.
# So does the profile on the command line, which cargo puts before both; `incremental` is cargo's to set outside of it.
SETTINGS := CARGO_ENCODED_RUSTFLAGS= CARGO_INCREMENTAL=0 RUSTC_BOOTSTRAP=1
# The libraries that the image is made of.
LIBRARIES := papr svm-dma virtio-pci pseries-tree netstack status-page postern-core workloads
IMAGE := $(SETTINGS) $(CARGO)
# Each image is a crate: kernel/, kernel/test, kernel/virtio-drivers.
build_image = $(SETTINGS) $(WAITING) 'building the image $2, one to two minutes the first time' '' \
	$(CARGO) build --config build/profile.toml -p $1 --features $1/image --profile kernel
BUILT := build/cargo/powerpc64le-postern/kernel
# Leaves the copy alone when nothing changed.
install_if_changed = cmp -s $1 $2 || cp $1 $2

help:
	@cat docs/help.txt

setup:
	@scripts/setup.sh

tools:
	@scripts/setup.sh --quiet
	@scripts/writable.sh build "$${CARGO_TARGET_DIR:-target}" "$${CARGO_HOME:-$${HOME:-/root}/.cargo}"

# Left alone when nothing changed: cargo looks at what is in it.
build/profile.toml: kernel/profile.toml Cargo.lock scripts/profile.sh | tools
	@scripts/profile.sh >$@.new && mv $@.new $@ || { rm -f $@.new; false; }

# What a user runs and UV_ESM measures, and what only tests and benchmarks run.
image: product test-image
	@scripts/digests.sh

product: tools build/profile.toml
	@$(call build_image,postern-kernel,postern) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern.elf)
	@head -c 256 /dev/zero >build/rom.bin && printf '\110\077\377\000' >>build/rom.bin

test-image: product
	@$(call build_image,postern-test,postern-test) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern-test,build/postern-test.elf)

# build/release: what somebody else's CI pins.
release: image
	@scripts/release.sh

# A profile in which the kernel and its library are compiled with a word that is no feature: nothing else can switch
# it on, not even cargo's --all-features.
sabotaged = -Zprofile-rustflags $(foreach crate,papr svm-dma postern-kernel,--config 'profile.$1.package.$(crate).rustflags=["--cfg=$2"]')

# Images that do what a secure guest must not: one maps a page it never shared, one lends its devices private
# buffers, one waits for locks without end and shows what it must not. What observes from outside must find it out.
sabotage: tools build/profile.toml
	@$(call build_image,postern-kernel,sabotage) $(call sabotaged,kernel,sabotage_map_private) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern-sabotage.elf)
	@$(call build_image,postern-kernel,skip-bounce) $(call sabotaged,kernel,sabotage_skip_bounce) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern-skip-bounce.elf)
	@$(call build_image,postern-kernel,careless) $(call sabotaged,kernel,sabotage_careless) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern-careless.elf)

# A kernel for another machine, of the same pool, ring and driver: examples/aarch64-virt. The tests that boot it are
# skipped where its QEMU cannot be had, but not in CI.
second-kernel: tools
	@scripts/setup.sh --quiet --second-kernel || [ -z "$$CI" ]
	@CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER=ld.lld $(SETTINGS) \
		$(WAITING) 'building the second kernel, about a minute the first time' '' \
		$(CARGO) build -p example-aarch64-virt --release $(SECOND_BARE)
	@$(call install_if_changed,build/cargo/$(SECOND)/release/aarch64-virt,build/second-kernel.elf)

# The crate virtio-drivers on this kernel's pool, for `make bench`. Where it cannot be had, there is no such image.
virtio-drivers: tools build/profile.toml
	@rm -f build/postern-virtio-drivers.elf
	@$(call build_image,postern-virtio-drivers,postern-virtio-drivers) $(BARE)
	@cp $(BUILT)/postern-virtio-drivers build/postern-virtio-drivers.elf

run: product
	@$(RUNNER)
	@exec $(HOST) run $(WORDS)

# A small Linux, built once, as a secure VM; APPEND=svm=on shows what happens without its swiotlb. With another
# configuration it stays in a folder of that name.
empty :=
linux = build/linux$(if $(CONFIG),-$(subst $(empty) $(empty),-,$(strip $(CONFIG))))
linux: tools
	@scripts/linux-svm.sh $(linux) $(CONFIG)
	@scripts/linux.sh $(linux)

test: release sabotage second-kernel
	@scripts/test.sh

# The libraries' tests on a machine of 32 bits and on one of the other byte order.
test-targets:
	@scripts/setup.sh --quiet --targets
	@scripts/test-targets.sh

# Measures Postern and Linux side by side; QUICK=1 takes a few minutes. The report is left in build/bench, and
# `make bench KEEP=docs` keeps it.
bench: test-image
	@$(MAKE) virtio-drivers || echo 'bench: no virtio-drivers'
	@$(WAITING) 'building the benchmark' '' $(CARGO) -q build --release -p postern-bench
	@exec $(CARGO) -q run --release -p postern-bench -- $(if $(QUICK),quick) $(ONLY) $(if $(KEEP),to=$(KEEP))

# Random work and disturbances for TIME seconds; SEED repeats one.
soak: test-image
	@$(RUNNER)
	@exec $(HOST) soak $(foreach v,TIME SEED QEMU,$(if $(call given,$v),"$v=$$$v"))

check: release
	@scripts/check.sh

cases: tools
	@$(CARGO) -q run -p postern-cases -- write

# The lists of docs/ that are tables of the code.
lists: tools
	@$(CARGO) -q run -p postern-tables -- write

# docs/qemu-versions.md with what the boot tests of the last `make test` came to.
versions: tools
	@$(RUNNER)
	@$(HOST) table $(if $(wildcard build/test/boot.tsv),build/test/boot.tsv) >build/qemu-versions.md
	@$(call install_if_changed,build/qemu-versions.md,docs/qemu-versions.md)

# Every fuzz target, or those of FUZZ, for TIME seconds; what they found interesting stays in build/fuzz for the
# next time.
fuzz:
	@scripts/setup.sh --quiet --fuzz
	@scripts/fuzz.sh $(FUZZ)

fmt: tools
	@$(CARGO) fmt
	@$(CARGO) fmt --manifest-path fuzz/Cargo.toml

# The crates that make images. They are empty on a host.
IMAGES := postern-kernel postern-test postern-virtio-drivers
OF_IMAGES := $(foreach crate,$(IMAGES),-p $(crate))
WITH_IMAGES := $(foreach crate,$(IMAGES),--features $(crate)/image)
NO_IMAGES := $(foreach crate,$(IMAGES),--exclude $(crate))

clippy: tools
	@$(CARGO) clippy -q --workspace $(NO_IMAGES) --all-targets -- -D warnings
	@$(IMAGE) clippy -q -p postern-kernel -p postern-arch -p postern-boot $(foreach crate,$(LIBRARIES),-p $(crate)) --features postern-kernel/image $(BARE) -- -D warnings
	@$(IMAGE) clippy -q -p example-aarch64-virt $(SECOND_BARE) -- -D warnings
	@$(IMAGE) clippy -q -p postern-kernel -p svm-dma --features postern-kernel/image $(call sabotaged,dev,sabotage_map_private) $(BARE) -- -D warnings
	@$(IMAGE) clippy -q -p postern-kernel -p svm-dma --features postern-kernel/image $(call sabotaged,dev,sabotage_skip_bounce) $(BARE) -- -D warnings
	@$(IMAGE) clippy -q -p postern-kernel -p papr --features postern-kernel/image $(call sabotaged,dev,sabotage_careless) $(BARE) -- -D warnings
	@$(IMAGE) clippy -q $(OF_IMAGES) $(WITH_IMAGES) $(BARE) -- -D warnings

doc: tools
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc -q --no-deps --document-private-items --workspace $(NO_IMAGES)
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(IMAGE) doc -q --no-deps --document-private-items --lib -p postern-kernel -p postern-test --features postern-kernel/image --features postern-test/image $(BARE)
	@scripts/book.sh

book: tools
	@scripts/book.sh --install

gdb: product
	@scripts/gdb.sh

clean:
	@rm -rf build target book
