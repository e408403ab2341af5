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

wasm-modules: $(BUILD)/acequia.wasm $(wasm_test_modules)

.PRECIOUS: $(BUILD)/wasm/%.o
-include $(wasm_objects:.o=.d) $(wasm_tests:%.c=$(BUILD)/wasm/%.d)
