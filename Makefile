# The single entry for developers and CI: `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: bench release soak help setup tools image product test-image sabotage second-kernel virtio-drivers run linux test test-targets check cases lists versions fuzz fmt clippy doc book gdb clean
MAKEFLAGS += --no-print-directory

# The variables of a run; `make help` explains them and the harness has the defaults. Those with few values are
# checked before anything is installed or built.
VARIABLES := FIRMWARE SVM AP CPU SMP MEM DISK DISK_WRITE NET PORT ECHO_PORT QEMU APPEND TIMEOUT RESULTS BLOB BEHAVIOUR FAULTS LOG
# A variable that the goal does not know is refused: it is probably misspelt, and make would ignore it.
knows_run := $(VARIABLES)
knows_test := QEMU JOBS RESULTS EXCLUDE REPEAT LIMIT
knows_bench := QUICK KEEP ONLY
knows_soak := TIME SEED QEMU
knows_fuzz := TIME FUZZ
knows_setup := QEMU
knows_linux := QEMU SMP APPEND KERNEL MACHINE TOOL CONFIG KEXEC KEXEC_APPEND KEXEC_INITRD KEXEC_OPTIONS
knows_gdb := FIRMWARE CPU MEM QEMU APPEND PORT
ifeq ($(MAKELEVEL),0)
known := $(sort $(foreach goal,$(MAKECMDGOALS),$(knows_$(goal))))
typed := $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v))
stray := $(filter-out $(known) MAKEFLAGS,$(typed))
$(if $(stray),$(error $(stray): no variable of 'make $(MAKECMDGOALS)'; $(if $(known),it takes $(known),it takes none)))
endif
# The folder may be mounted without permission to execute, or an archive may have lost the files' modes.
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
# Values are passed on in the environment, where the shell reads them: they may have any characters.
WORDS = $(foreach v,$(VARIABLES),$(if $(call given,$v),"$v=$$$v"))

CARGO := scripts/cargo
HOST := $(CARGO) -q run -p postern-harness --
# Long steps print what they do and how long they have taken.
WAITING := scripts/waiting
RUNNER := $(WAITING) 'building the runner, about a minute the first time' '' $(CARGO) -q build -p postern-harness
# The image has its own target and builds Rust's core and alloc for it in its own folder, so that neither its flags nor
# the host's cause a rebuild of the other. Core is optimised for size: the image's lists are short.
TARGET := kernel/powerpc64le-postern.json
BARE := --target $(TARGET) -Ztrim-paths -Zjson-target-spec -Zbuild-std=core,alloc \
	-Zbuild-std-features=compiler-builtins-mem,optimize_for_size --target-dir build/cargo
SECOND := aarch64-unknown-none
SECOND_BARE := --target $(SECOND) -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem \
	--target-dir build/cargo --features example-aarch64-virt/image
# The image contains no path of the machine that built it: a secure guest is measured, and others must be able to build
# the same bytes to check the digest.
# The empty list of encoded flags overrides the user's flags in the environment and in cargo's files. The profile on the
# command line overrides the user's profiles; `incremental` is set by its own variable.
SETTINGS := CARGO_ENCODED_RUSTFLAGS= CARGO_INCREMENTAL=0 RUSTC_BOOTSTRAP=1
# The libraries that the image is made of.
LIBRARIES := papr svm-dma virtio-pci pseries-tree netstack status-page postern-core workloads
IMAGE := $(SETTINGS) $(CARGO)
# Each image is a crate: kernel/, kernel/test, kernel/virtio-drivers.
build_image = $(SETTINGS) $(WAITING) 'building the image $2, one to two minutes the first time' '' \
	$(CARGO) build --config build/profile.toml -p $1 --features $1/image --profile kernel
BUILT := build/cargo/powerpc64le-postern/kernel
# Leaves the copy's time alone when its bytes are the same.
install_if_changed = cmp -s $1 $2 || cp $1 $2

help:
	@cat docs/help.txt

setup:
	@scripts/setup.sh

tools:
	@scripts/setup.sh --quiet
	@scripts/writable.sh build "$${CARGO_TARGET_DIR:-target}" "$${CARGO_HOME:-$${HOME:-/root}/.cargo}"

# Written anew only when one of its sources has changed.
build/profile.toml: kernel/profile.toml Cargo.lock scripts/profile.sh | tools
	@scripts/profile.sh >$@.new && mv $@.new $@ || { rm -f $@.new; false; }

# The image that users run and UV_ESM measures (product), and the one that only tests and benchmarks run (test-image).
image: product test-image
	@scripts/digests.sh

product: tools build/profile.toml
	@$(call build_image,postern-kernel,postern) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern.elf)
	@head -c 256 /dev/zero >build/rom.bin && printf '\110\077\377\000' >>build/rom.bin

test-image: product
	@$(call build_image,postern-test,postern-test) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern-test,build/postern-test.elf)

# build/release: the files that another project's CI uses.
release: image
	@scripts/release.sh

# A profile that compiles the kernel and two of its libraries with a `--cfg` that is no feature: nothing else can
# switch it on, not even cargo's --all-features.
sabotaged = -Zprofile-rustflags $(foreach crate,papr svm-dma postern-kernel,--config 'profile.$1.package.$(crate).rustflags=["--cfg=$2"]')

# Images with a deliberate fault: one maps a page that it never shared, one gives its devices private buffers, one
# waits for locks without a limit and leaks private data. The checks outside the guest must detect each. The second is a
# test image: its own tests of the pool must fail, too.
sabotage: tools build/profile.toml
	@$(call build_image,postern-kernel,sabotage) $(call sabotaged,kernel,sabotage_map_private) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern-sabotage.elf)
	@$(call build_image,postern-test,skip-bounce) $(call sabotaged,kernel,sabotage_skip_bounce) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern-test,build/postern-skip-bounce.elf)
	@$(call build_image,postern-kernel,careless) $(call sabotaged,kernel,sabotage_careless) $(BARE)
	@$(call install_if_changed,$(BUILT)/postern,build/postern-careless.elf)

# A kernel for another machine with the same pool, ring and driver: examples/aarch64-virt. The tests that boot it are
# skipped where its QEMU cannot be installed, except in CI.
second-kernel: tools
	@scripts/setup.sh --quiet --second-kernel || [ -z "$$CI" ]
	@CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER=ld.lld $(SETTINGS) \
		$(WAITING) 'building the second kernel, about a minute the first time' '' \
		$(CARGO) build -p example-aarch64-virt --release $(SECOND_BARE)
	@$(call install_if_changed,build/cargo/$(SECOND)/release/aarch64-virt,build/second-kernel.elf)

# The crate virtio-drivers on this kernel's pool, for `make bench`. The image is optional.
virtio-drivers: tools build/profile.toml
	@rm -f build/postern-virtio-drivers.elf
	@$(call build_image,postern-virtio-drivers,postern-virtio-drivers) $(BARE)
	@cp $(BUILT)/postern-virtio-drivers build/postern-virtio-drivers.elf

run: product
	@$(RUNNER)
	@exec $(HOST) run $(WORDS)

# A small Linux, built once, as a secure VM; APPEND=svm=on shows what happens without its swiotlb. Each CONFIG has a
# folder of its own.
empty :=
linux = build/linux$(if $(CONFIG),-$(subst $(empty) $(empty),-,$(strip $(CONFIG))))
linux: tools
	@scripts/linux-svm.sh $(linux) $(CONFIG)
	@scripts/linux.sh $(linux)

test: release sabotage second-kernel
	@scripts/test.sh

# The libraries' tests on a 32-bit machine and on a big-endian one.
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

# Writes the lists in docs/ that are generated from tables of the code.
lists: tools
	@$(CARGO) -q run -p postern-tables -- write

# Writes docs/qemu-versions.md with the results of the boot tests of the last `make test`.
versions: tools
	@$(RUNNER)
	@$(HOST) table $(if $(wildcard build/test/boot.tsv),build/test/boot.tsv) >build/qemu-versions.md
	@$(call install_if_changed,build/qemu-versions.md,docs/qemu-versions.md)

# Every fuzz target, or those of FUZZ, for TIME seconds each. The corpus stays in build/fuzz for the next run.
fuzz:
	@scripts/setup.sh --quiet --fuzz
	@scripts/fuzz.sh $(FUZZ)

fmt: tools
	@$(CARGO) fmt
	@$(CARGO) fmt --manifest-path fuzz/Cargo.toml

# The crates that make images. On a host they are empty.
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
