# The conformance suite, and the tests of the stack switch on other machines.
CONFORMANCE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/asyncio/conf*.c)))
CONFORMANCE_JOBS ?= 2
CHECKS += conformance documents coro-aarch64

$(BUILD)/conformance: $(CONFORMANCE_OBJ) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(CONFORMANCE_OBJ) $(LIB) $(LDFLAGS) $(LIBS)

# REPEAT=20: so many passes in a row; BUSY=1: while another process computes; UNDER="strace -f": with that in front.
REPEAT ?= 1
PLAY = python3 tests/asyncio/check.py --jobs $(CONFORMANCE_JOBS) --repeat $(REPEAT) $(if $(BUSY),--busy)
conformance: $(BUILD)/conformance ## the order of events against the traces of CPython's asyncio (REPEAT=n, BUSY=1)
	@$(PLAY) --runner '$(strip $(UNDER) $(BUILD)/conformance)' $$($(BUILD)/conformance --list)

# What valgrind does not know is done by pidfd.c; what it translates for the first time takes a tenth of a second.
$(BUILD)/conformance-memcheck: $(CONFORMANCE_OBJ) $(BUILD)/tests/asyncio/pidfd.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS) \
	  -Wl,--wrap=pidfd_open,--wrap=waitid,--wrap=pidfd_send_signal,--wrap=posix_spawnp $(LIBS)

conformance-memcheck: $(BUILD)/conformance-memcheck ## the same under valgrind's memcheck (REPEAT=n, BUSY=1)
	@$(PLAY) --units 200,600,1600 --timeout 200 --runner '$(MEMCHECK) $(BUILD)/conformance-memcheck'

# A tutorial's examples as a program. On a busy machine one that fails is tried again with longer sleeps.
DOCUMENTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/asyncio/doc_[0-9][0-9][0-9].c)))
DOCUMENT_LIB := $(addprefix $(BUILD)/tests/asyncio/,conf.o doc.o)
$(BUILD)/tests/asyncio/doc_001: $(BUILD)/tests/asyncio/doc_001_requests.o

$(DOCUMENTS): $(BUILD)/%: $(BUILD)/%.o $(DOCUMENT_LIB) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDFLAGS) $(LIBS)

documents: $(DOCUMENTS) ## the examples of five asyncio tutorials, in C
	@failed=0; for p in $(DOCUMENTS); do \
	  for unit in 20 100 400; do CONF_UNIT_MS=$$unit $$p >$$p.log 2>&1 && break; unit=none; done; \
	  if [ $$unit != none ]; then echo "ok $${p##*/} (unit $$unit ms)"; \
	  else echo "not ok $${p##*/}"; cat $$p.log; failed=1; fi; done; exit $$failed

# The switch of another ABI: a static program without libev and cmocka, run by qemu-user.
CROSS ?= aarch64-linux-gnu-gcc
CROSS_SRC := tests/asyncio/coro_plain.c $(addprefix worker/runtime/,coro.c coro_aarch64.S coro_x86_64.S error.c overflow.c stack.c) \
             common/callout.c common/err.c common/fatal.c

$(BUILD)/coro-aarch64-test: $(CROSS_SRC) $(wildcard worker/runtime/*.h common/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CROSS) -std=c11 -D_GNU_SOURCE -I. $(WARN) -O2 -g -frounding-math -static -pthread -o $@ $(CROSS_SRC) -lm

coro-aarch64: ## the stack switch of aarch64, under qemu-user
	@if ! command -v $(CROSS) >/dev/null; then echo "coro-aarch64: skipped: no $(CROSS)"; \
	elif ! command -v qemu-aarch64 >/dev/null; then echo "coro-aarch64: skipped: no qemu-aarch64"; \
	else $(MAKE) --no-print-directory $(BUILD)/coro-aarch64-test && qemu-aarch64 $(BUILD)/coro-aarch64-test; fi

# The same program on this machine, with each switch there is.
coro-native: $(LIB)
	$(Q)$(CC) $(FLAGS) -frounding-math -o $(BUILD)/coro-native-test tests/asyncio/coro_plain.c $(LIB) $(LDFLAGS) $(LIBS)
	@$(BUILD)/coro-native-test

.PHONY: conformance conformance-memcheck documents coro-aarch64 coro-native
