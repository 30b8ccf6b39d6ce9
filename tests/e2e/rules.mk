# The end-to-end programs: a real redis-server, the daemon's binary ($RPOPD, else build/rpopd), real signals.
E2E      := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/e2e/test_*.c)))
E2E_HELP := $(patsubst %.c,$(BUILD)/%.o,$(sort $(filter-out tests/e2e/test_% tests/e2e/soak.c,$(wildcard tests/e2e/*.c))) common/base64.c common/clock.c common/text.c)

SOAK     := $(BUILD)/tests/e2e/soak

$(E2E) $(SOAK): $(BUILD)/tests/e2e/%: $(BUILD)/tests/e2e/%.o $(E2E_HELP) $(TESTLIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $< $(E2E_HELP) $(TESTLIB) $(LDFLAGS) -lcmocka $(LIBS)

# The daemon with handlers of its own: one that crashes, one that returns results.
$(BUILD)/tests/e2e/rpopd-%: $(BUILD)/daemon/main.o $(BUILD)/tests/e2e/%/handlers.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $(BUILD)/daemon/main.o $(BUILD)/tests/e2e/$*/handlers.o $(LIB) $(LDFLAGS) $(LIBS)

$(BUILD)/tests/e2e/test_poison: | $(BUILD)/tests/e2e/rpopd-crash
$(BUILD)/tests/e2e/test_results $(BUILD)/tests/e2e/test_results_faults: | $(BUILD)/tests/e2e/rpopd-results

# Plugins as their authors build them, but with the daemon's flags: a sanitizer sees them too.
E2E_PLUGINS := $(addprefix $(BUILD)/tests/e2e/plugin/,act.so wrong.so undefined.so gather.so block.so)
PLUGIN_CC    = $(CC) $(FLAGS) -Iworker/handler -shared -o $@ $<

$(BUILD)/tests/e2e/plugin/%.so: tests/e2e/plugin/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(Q)$(PLUGIN_CC)
$(BUILD)/tests/e2e/plugin/undefined.so: tests/e2e/plugin/wrong.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(Q)$(PLUGIN_CC) -DUNDEFINED
$(BUILD)/tests/e2e/plugin/%.so: conf/plugin/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(Q)$(PLUGIN_CC)

$(addprefix $(BUILD)/tests/e2e/test_,calls memory handlers plugin plugin_blocking plugin_deaf steady): | $(E2E_PLUGINS)

# The daemon with clocks, allocations and calls that a test shakes.
SHAKEN_CALLS := accept4 connect flock getrandom mmap64 open64 openat64 pidfd_open pipe2 poll posix_spawnp pread64 \
                pthread_create pwrite64 read recv send sendmsg socket socketpair waitid write writev child_clone child_clone_works
SHAKEN := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/e2e/shaken/*.c)))
$(BUILD)/tests/e2e/rpopd-shaken: $(BUILD)/daemon/main.o $(PLUGIN_API) $(SHAKEN) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) $(PLUGIN_FLAGS) -o $@ $(BUILD)/daemon/main.o $(PLUGIN_API) $(SHAKEN) $(LIB) $(LDFLAGS) \
	  $(foreach f,malloc calloc realloc strdup strndup asprintf vasprintf $(SHAKEN_CALLS),-Wl,--wrap=$f) $(LIBS)

$(BUILD)/tests/e2e/test_calls $(BUILD)/tests/e2e/test_clocks $(BUILD)/tests/e2e/test_memory: | $(BUILD)/tests/e2e/rpopd-shaken

e2e-programs: $(E2E)

soak: $(BUILD)/rpopd $(SOAK) ## kill two daemons and Redis again and again for ten minutes, and count the jobs
	@RPOPD=$(abspath $(BUILD)/rpopd) $(SOAK)

steady: $(BUILD)/rpopd $(BUILD)/tests/e2e/test_steady ## one daemon through a fault a minute (STEADY_MINUTES=60): memory, descriptors, jobs
	@RPOPD=$(abspath $(BUILD)/rpopd) STEADY_MINUTES=$${STEADY_MINUTES:-60} $(BUILD)/tests/e2e/test_steady

power: $(BUILD)/rpopd ## cut the power of a whole machine (qemu), POWER_CUTS=5 times, about 40 seconds each
	@RPOPD=$(abspath $(BUILD)/rpopd) bash tests/e2e/power/machine.sh

.PHONY: e2e-programs power soak steady
