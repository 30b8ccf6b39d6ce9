# The end-to-end programs: a real redis-server, the daemon's binary ($RPOPD, else build/rpopd), real signals.
E2E      := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/e2e/test_*.c)))
E2E_HELP := $(patsubst %.c,$(BUILD)/%.o,$(sort $(filter-out tests/e2e/test_%,$(wildcard tests/e2e/*.c))) common/clock.c)

$(E2E): $(BUILD)/tests/e2e/%: $(BUILD)/tests/e2e/%.o $(E2E_HELP) $(TESTLIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $< $(E2E_HELP) $(TESTLIB) $(LDFLAGS) -lcmocka $(LIBS)

e2e-programs: $(E2E)

.PHONY: e2e-programs
