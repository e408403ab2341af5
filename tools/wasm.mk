# wasm.mk: the engine as a WASM module, and its unit tests likewise, each without a single
# import. clang and wasm-ld are called directly: clang's own link step would look for a
# wasm-opt of whatever age is installed.
WASM_CC ?= clang-19
WASM_LD ?= wasm-ld-19
WASM_FLAGS = --target=wasm32-unknown-unknown -ffreestanding -std=c11 -O3 -msimd128 \
	-mbulk-memory -mnontrapping-fptoint -msign-ext -ffunction-sections -fdata-sections \
	-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wshadow \
	-Wstrict-prototypes -Wvla -Werror -Iinclude -Iengine -I. -MMD -MP
WASM_LD_FLAGS = --no-entry --stack-first -z stack-size=131072 --gc-sections --strip-all \
	--fatal-warnings

wasm_sources := $(wildcard engine/*.c engine/*/*.c)
wasm_objects := $(wasm_sources:%.c=$(BUILD)/wasm/%.o)
wasm_tests := $(filter-out tests/unit/test_native_%,$(wildcard tests/unit/test_*.c))
wasm_test_modules := $(wasm_tests:%.c=$(BUILD)/wasm/%.wasm)

# The public header is the list of exports; words of its comments that are no functions do
# no harm.
$(BUILD)/wasm/exports: include/acequia.h
	@mkdir -p $(@D)
	@grep -oE '\baq_[a-z0-9_]+\(' $< | tr -d '(' | sort -u \
		| sed 's/^/--export-if-defined=/' > $@

$(BUILD)/wasm/engine/wasm.o: WASM_FLAGS += -fno-builtin
$(BUILD)/wasm/%.o: %.c tools/wasm.mk
	@mkdir -p $(@D)
	@echo 'WASM_CC $<'
	@$(WASM_CC) $(WASM_FLAGS) -c $< -o $@

$(BUILD)/acequia.wasm: $(wasm_objects) $(BUILD)/wasm/exports
	@echo 'WASM_LD $@'
	@$(WASM_LD) $(WASM_LD_FLAGS) @$(BUILD)/wasm/exports $(wasm_objects) -o $@
	@node tools/wasm-imports.mjs $@

$(BUILD)/wasm/tests/unit/%.wasm: $(BUILD)/wasm/tests/unit/%.o $(wasm_objects)
	@echo 'WASM_LD $@'
	@$(WASM_LD) $(WASM_LD_FLAGS) $^ -o $@

# The simulator as a program of WASI (with Debian's wasi-libc), to prove that a seed gives the
# same ops and bytes there. The engine in it has libc's memcpy, so not wasm.c. Linking has no
# -O: else clang would look for wasm-opt here too.
WASI_FLAGS = --target=wasm32-wasi --sysroot=/usr
wasi_sources := $(filter-out engine/wasm.c,$(wasm_sources)) $(wildcard host/sim/*.c)
wasi_objects := $(wasi_sources:%.c=$(BUILD)/wasi/%.o)

$(BUILD)/wasi/%.o: %.c tools/wasm.mk
	@mkdir -p $(@D)
	@echo 'WASI_CC $<'
	@$(WASM_CC) $(WASI_FLAGS) -std=c11 -D_GNU_SOURCE -D_WASI_EMULATED_MMAN -O2 -msimd128 \
		-mbulk-memory -Iinclude -Iengine -I. -MMD -MP -c $< -o $@

$(BUILD)/acequia-sim.wasm: $(wasi_objects)
	@echo 'WASI_LD $@'
	@$(WASM_CC) $(WASI_FLAGS) $^ -lwasi-emulated-mman -Wl,-z,stack-size=1048576 -o $@

wasm-modules: $(BUILD)/acequia.wasm $(BUILD)/acequia-sim.wasm $(wasm_test_modules)

.PRECIOUS: $(BUILD)/wasm/%.o
-include $(wasm_objects:.o=.d) $(wasi_objects:.o=.d) $(wasm_tests:%.c=$(BUILD)/wasm/%.d)
