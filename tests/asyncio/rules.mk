# The conformance suite, and the tests of the stack switch on other machines.
CONFORMANCE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/asyncio/conf*.c)))
CONFORMANCE_JOBS ?= 2
CHECKS += conformance coro-aarch64

$(BUILD)/conformance: $(CONFORMANCE_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(CONFORMANCE_OBJ) $(LIB) $(LDFLAGS) $(LIBS)

conformance: $(BUILD)/conformance ## the order of events against the traces of CPython's asyncio
	@python3 tests/asyncio/check.py --jobs $(CONFORMANCE_JOBS) --runner $(BUILD)/conformance $$($(BUILD)/conformance --list)

# The switch of another ABI: a static program without libev and cmocka, run by qemu-user.
CROSS ?= aarch64-linux-gnu-gcc
CROSS_SRC := tests/asyncio/coro_plain.c $(addprefix worker/runtime/,coro.c coro_aarch64.S coro_x86_64.S error.c overflow.c stack.c) \
             common/callout.c common/err.c

$(BUILD)/coro-aarch64-test: $(CROSS_SRC) $(wildcard worker/runtime/*.h common/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CROSS) -std=c11 -D_GNU_SOURCE -I. $(WARN) -O2 -g -frounding-math -static -pthread -o $@ $(CROSS_SRC) -lm

coro-aarch64: ## the stack switch of aarch64, under qemu-user
	@if ! command -v $(CROSS) >/dev/null; then echo "coro-aarch64: skipped, $(CROSS) is not installed"; \
	elif ! command -v qemu-aarch64 >/dev/null; then echo "coro-aarch64: skipped, qemu-aarch64 is not installed"; \
	else $(MAKE) --no-print-directory $(BUILD)/coro-aarch64-test && qemu-aarch64 $(BUILD)/coro-aarch64-test; fi

# The same program on this machine, with each switch there is.
coro-native: $(LIB)
	$(Q)$(CC) $(FLAGS) -frounding-math -o $(BUILD)/coro-native-test tests/asyncio/coro_plain.c $(LIB) $(LDFLAGS) $(LIBS)
	@$(BUILD)/coro-native-test

.PHONY: conformance coro-aarch64 coro-native
