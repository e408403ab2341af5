# The front door: each target first installs what it lacks (tools/setup.sh), then Meson and
# ninja work behind it. `make help` lists the targets.
BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
SECONDS ?= 60

setup = @tools/setup.sh
configure = @[ -f $(1)/build.ninja ] || tools/quiet.sh meson setup $(1) $(2)
# A progress line on a terminal, else only what went wrong.
ninja = @ninja $$([ -t 1 ] || echo --quiet) -C
asan_options = -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 \
	-Dc_args="-fno-sanitize-recover=all -fno-omit-frame-pointer"

all: ## build/acequia, the program
	$(setup) native
	$(call configure,$(BUILD))
	$(ninja) $(BUILD) acequia

wasm: ## build/acequia.wasm, the engine for browsers and Node
	$(setup) test
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/acequia.wasm

demo: all ## the main job on this machine's own files
	@tools/demo.sh

test: ## every test; G="unit wasm" runs only these groups
	$(setup) test
	@BUILD=$(BUILD) JOBS=$(JOBS) tools/run-tests.sh $(G)

check: all ## format, clang-tidy, cppcheck
	$(setup) test
	@BUILD=$(BUILD) JOBS=$(JOBS) tools/check.sh $(FILES)

format: ## clang-format over everything
	$(setup) test
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format-14 -i

asan: asan-build ## all tests that run under ASan and UBSan
	@BUILD=$(BUILD) JOBS=$(JOBS) tools/run-tests.sh asan

bench: all ## measures against rsync and others; writes what docs/BENCHMARKS.md shows
	$(setup) bench
	@bench/all.sh

soak: sim-build ## the simulator over many seeds, for SECONDS
	@$(BUILD)/acequia-sim --seeds $$(date +%s)000..$$(date +%s)999999 --seconds $(SECONDS)

fuzz: ## libFuzzer over every tests/fuzz/fuzz_*.c, each for SECONDS
	$(setup) fuzz
	@BUILD=$(BUILD) tools/fuzz.sh $(SECONDS)

install: all ## to PREFIX (default /usr/local), below DESTDIR
	$(setup) install
	@tools/quiet.sh meson setup --reconfigure $(BUILD) -Dprefix=$(PREFIX)
	@meson install -C $(BUILD)

clean: ## removes the build directories
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

# What tools/run-tests.sh asks for.
unit-build: all
	$(ninja) $(BUILD) unit-tests
sim-build: all
	$(ninja) $(BUILD) acequia-sim
asan-build:
	$(setup) test
	$(call configure,$(BUILD)-asan,$(asan_options))
	$(ninja) $(BUILD)-asan acequia acequia-sim unit-tests
wasm-build:
	@$(MAKE) --no-print-directory -j$(JOBS) wasm-modules

include tools/wasm.mk

.PHONY: all wasm demo test check format asan bench soak fuzz install clean help \
	unit-build sim-build asan-build wasm-build wasm-modules
