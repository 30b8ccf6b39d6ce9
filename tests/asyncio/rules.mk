# The conformance suite, and the tests of the stack switch on other machines.
CONFORMANCE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/asyncio/conf*.c)))
CONFORMANCE_JOBS ?= 2
CHECKS += conformance coro-aarch64

$(BUILD)/conformance: $(CONFORMANCE_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(CONFORMANCE_OBJ) $(LIB) $(LDFLAGS) $(LIBS)

conformance: $(BUILD)/conformance ## the order of events against the traces of CPython's asyncio
	@python3 tests/asyncio/check.py --jobs $(CONFORMANCE_JOBS) --runner $(BUILD)/conformance $$($(BUILD)/conformance --list)

.PHONY: conformance
