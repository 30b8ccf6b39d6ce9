# rpopd: `make help` lists the targets. Settings: PREFIX SYSCONFDIR DESTDIR CC CFLAGS LDFLAGS WERROR=1 V=1 CORO=ucontext
# SAN=address,undefined|thread FLAVOUR_SUFFIX (a build folder of its own) BUILD TEST_LIMIT TEST_JOBS FUZZ_SECONDS

# Debian packages: what building, the demo and the tests take, then what the further checks take.
DEPS := gcc make pkg-config libc6-dev libhiredis-dev libev-dev libconfig-dev libsystemd-dev libjansson-dev libcurl4-openssl-dev \
        libssl-dev libcmocka-dev openssl nginx \
        redis-server redis-tools procps util-linux \
        clang clang-tidy clang-format llvm libclang-rt-dev valgrind gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
        qemu-user mandoc python3 systemd e2fsprogs mount

.DEFAULT_GOAL := all
OTHER_GOALS   := $(filter-out deps,$(MAKECMDGOALS))

ifneq ($(and $(filter deps,$(MAKECMDGOALS)),$(OTHER_GOALS)),)
# `make deps demo`: the rest begins in a make of its own once everything is there, with -j too.
$(OTHER_GOALS): after-deps
	@:
after-deps: deps
	@$(MAKE) --no-print-directory $(OTHER_GOALS)
.PHONY: after-deps $(OTHER_GOALS)
else

PREFIX     ?= /usr
SYSCONFDIR ?= /etc
CFLAGS     ?= $(if $(findstring address,$(SAN)),-O1,-O2) -g# at -O2 this sanitizer takes twice the time to compile
VERSION    := 0.1.0
comma      := ,
empty      :=
space      := $(empty) $(empty)
FLAVOUR    := $(subst $(space),-,$(strip $(subst $(comma),-,$(SAN)) $(CORO) $(FLAVOUR_SUFFIX)))
BUILD      := build$(if $(FLAVOUR),/$(FLAVOUR))
TEST_LIMIT ?= $(if $(SAN),600,300)# seconds for one test program
TEST_JOBS  ?= $(shell expr 2 '*' $$(nproc))# test programs at once: most of their time they wait

Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-4s %s\n' $1 $2)

WARN := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral -Wstrict-prototypes \
        -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Werror=implicit-function-declaration
# What gcc says of the flow of data hangs on how much it optimizes: without a sanitizer it is right.
SAN_WARN  = $(if $(findstring clang,$(CC)),,-Wno-format-truncation -Wno-maybe-uninitialized)
# Libraries are looked up once a run, and only when something is compiled: `deps` may have to install them first.
PC        = hiredis libconfig libsystemd jansson libcurl libcrypto
PC_CFLAGS = $(eval PC_CFLAGS := $(shell pkg-config --cflags $(PC)))$(PC_CFLAGS)
PC_LIBS   = $(eval PC_LIBS := $(shell pkg-config --libs $(PC)))$(PC_LIBS)
FLAGS     = -std=c11 -D_GNU_SOURCE -I. -I$(BUILD)/gen -DRPOPD_VERSION='"$(VERSION)"' -DRPOPD_PREFIX='"$(PREFIX)"' \
            -DRPOPD_SYSCONFDIR='"$(SYSCONFDIR)"' $(WARN) $(if $(WERROR),-Werror) \
            $(if $(findstring clang,$(CC)),-Wthread-safety) -ffile-prefix-map=$(CURDIR)=. -MMD -MP -pthread -fPIC -fstack-clash-protection \
            $(PC_CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer $(SAN_WARN)) \
            $(if $(CORO),-DCORO_UCONTEXT) $(CFLAGS)
LIBS      = $(PC_LIBS) -lev -lm -ldl

# Programs of their own; the rest is the library.
MAINS   := daemon/main.c daemon/ctl.c worker/handler/rpopd_exec.c
SRC     := $(filter-out $(MAINS),$(sort $(wildcard common/*.c worker/*.c worker/*/*.c daemon/*.c)))
ASM     := $(sort $(wildcard worker/runtime/*.S))
OBJ     := $(SRC:%.c=$(BUILD)/%.o) $(ASM:%.S=$(BUILD)/%.o)
LIB     := $(BUILD)/librpopd.a
TESTLIB := $(BUILD)/libtest.a
UNIT    := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c tests/asyncio/test_*.c)))
ifneq ($(CORO),) # the tests of what uses coroutines: the rest sees no difference
UNIT    := $(patsubst %.c,$(BUILD)/%,$(sort $(shell grep -l 'combine.h\|executor_jobs.h\|sockets.h\|worker/' tests/unit/test_*.c)))
endif
BENCH   := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bench/bench_*.c)))
C_FILES := $(sort $(wildcard common/*.[ch] worker/*.[ch] worker/*/*.[ch] daemon/*.[ch] conf/*/*.c tests/*/*.[ch] tests/e2e/plugin/*.c))
SHELL_TESTS := $(sort $(wildcard tests/e2e/test_*.sh))
MANUALS := $(sort $(wildcard daemon/*.8 daemon/*.1 conf/*.5 worker/handler/*.3))

all: $(BUILD)/rpopd $(BUILD)/rpopctl ## build the daemon and its programs: build/rpopd, rpopctl, rpopd-exec

CHECKS := # gates of `check` that a rules.mk brings
-include $(sort $(wildcard daemon/rules.mk tests/*/rules.mk))

# Flags are a dependency too: a build folder never mixes objects of two kinds.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(FLAGS) $(LDFLAGS))' | cmp -s - $@ || \
	  printf '%s\n' '$(subst ','\'',$(CC) $(FLAGS) $(LDFLAGS))' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(FLAGS) -c -o $@ $<

$(BUILD)/%.o: %.S $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,AS,$<)
	$(Q)$(CC) $(FLAGS) -c -o $@ $<

$(LIB): $(OBJ)
$(TESTLIB): $(patsubst %.c,$(BUILD)/%.o,$(sort $(filter-out tests/bench/bench_%,$(wildcard tests/lib/*.c tests/bench/*.c))))
$(LIB) $(TESTLIB):
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcsD $@ $^

# What rpopd_plugin.h promises to plugins: all of it is in the binary, and these are the only symbols it shows them.
PLUGIN_API   := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard worker/handler/plugin_*.c)))
PLUGIN_FLAGS := -Wl,--export-dynamic-symbol='rpopd_*'

$(BUILD)/rpopd: $(BUILD)/daemon/main.o $(PLUGIN_API) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) $(PLUGIN_FLAGS) -o $@ $< $(PLUGIN_API) $(LIB) $(LDFLAGS) $(LIBS)

# The daemon looks for it beside itself. It starts for a job: no library is loaded that it does not need.
$(BUILD)/rpopd: | $(BUILD)/rpopd-exec
$(BUILD)/rpopd-exec: $(BUILD)/worker/handler/rpopd_exec.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $< $(LIB) $(LDFLAGS)

$(BUILD)/rpopctl: $(BUILD)/daemon/ctl.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $< $(LIB) $(LDFLAGS) $(LIBS)

# A test program may ask for link flags of its own in its first line: /* LDFLAGS: -Wl,--wrap=calloc */
own_ldflags = $(shell sed -n '1s,^.*LDFLAGS: *\(.*[^ ]\) *\*/.*,\1,p' $1)

$(UNIT) $(BENCH): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(TESTLIB) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS) -o $@ $< $(TESTLIB) $(LIB) $(LDFLAGS) $(call own_ldflags,tests/$*.c) -lcmocka $(LIBS)

demo: $(BUILD)/rpopd ## watch four jobs go from LPUSH to Done, in about 5 seconds
	@RPOPD=$(BUILD)/rpopd sh conf/demo.sh demo

run: $(BUILD)/rpopd ## the same daemon and Redis for your own redis-cli, until Ctrl-C
	@RPOPD=$(BUILD)/rpopd sh conf/demo.sh run

# Runs gates one after the other, each in a make of its own; all of them run, the failed ones are named at the end.
# $1: make settings, $2: gates
GATES = +@failed=; for gate in $2; do $(MAKE) --no-print-directory $1 $$gate || failed="$$failed $$gate"; done; \
        [ -z "$$failed" ] || { echo "$@: failed:$$failed"; exit 1; }; echo "$@: all passed:$(if $1, ($1)) $2"
RUN_TESTS = RPOPD=$(abspath $(BUILD)/rpopd) RPOPCTL=$(abspath $(BUILD)/rpopctl) \
            bash tests/run.sh -j $(TEST_JOBS) -a test_quiet -t $(TEST_LIMIT)
CONFORMANCE := $(filter conformance documents,$(CHECKS))

check: ## unit, conformance and end-to-end tests, then layers and docs
	$(call GATES,,unit $(CHECKS) e2e layers docs)

programs: $(UNIT) $(E2E) $(BENCH) $(BUILD)/conformance $(DOCUMENTS) # whatever a test or a measurement runs

unit: $(UNIT) ## unit tests: a cmocka program a module
	@$(RUN_TESTS) unit $(UNIT)

# The longest begin, so that none of them ends alone. What measures processor time and memory, and what builds and
# installs by itself, says nothing under a sanitizer.
E2E_LONGEST = $(filter %/test_redis_gone %/test_redis_errors %/test_links,$(E2E))
E2E_RUN = $(E2E_LONGEST) $(if $(SAN),,$(SHELL_TESTS)) $(filter-out $(E2E_LONGEST) $(if $(SAN),%/test_quiet),$(E2E))

e2e: $(BUILD)/rpopd $(BUILD)/rpopctl $(E2E) ## tests of the built daemon against a redis-server of their own
	@$(RUN_TESTS) e2e $(E2E_RUN)

SANITIZER_OPTIONS := ASAN_OPTIONS=abort_on_error=1:detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
                     TSAN_OPTIONS=second_deadlock_stack=1:report_thread_leaks=0 # a stuck worker is left behind on purpose

ASAN := SAN=address$(comma)undefined
TSAN := CC=clang SAN=thread# gcc 12's runtime ends at 8,128 coroutines

asan: asan-programs ## unit, conformance and e2e tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(call GATES,$(SANITIZER_OPTIONS) $(ASAN),unit $(CONFORMANCE) e2e)

tsan: tsan-programs ## the same under ThreadSanitizer, with clang
	$(call GATES,$(SANITIZER_OPTIONS) $(TSAN),unit $(CONFORMANCE) e2e)

asan-programs:
	+@$(MAKE) --no-print-directory $(ASAN) all programs

tsan-programs: # clang builds all
	+@$(MAKE) --no-print-directory $(TSAN) all programs

# Reads of what was never written and writes past an end; leaks are the address sanitizer's (a forked child that ends by
# _exit leaks on purpose). Left out of the unit tests are a million answers against the clock, and what starts child
# processes: valgrind does not know pidfd_open.
MEMCHECK := env MEMCHECK=1 valgrind -q --child-silent-after-fork=yes --error-exitcode=99 --leak-check=no
MEMCHECK_NOT := redis_link misuse_block misuse_thread process process_early process_pool process_pool_broken process_pool_end pool \
                pool_examples pool_idle

valgrind: $(UNIT) ## unit tests and the scenarios under valgrind's memcheck
	@$(RUN_TESTS) -x '$(MEMCHECK)' -m 10 valgrind $(filter-out $(MEMCHECK_NOT:%=$(BUILD)/tests/unit/test_%),$(UNIT))
	@$(MAKE) --no-print-directory conformance-memcheck

bench: $(BUILD)/rpopd $(BENCH) ## measure: jobs a second, pick-up latency, CPU, memory
	@for b in $(BENCH); do RPOPD=$(abspath $(BUILD)/rpopd) $$b || exit 1; done

tidy: $(BUILD)/rpopd ## clang-tidy over common, worker, daemon
	@printf '%s\n' $(SRC) $(MAINS) | xargs -P $$(nproc) -n 1 sh -c \
	  'clang-tidy --quiet "$$@" -- $(filter-out -MMD -MP -Werror,$(subst ','"'"',$(FLAGS))) 2>/dev/null' tidy

format: ## lay out the code (clang-format)
	@clang-format -i $(C_FILES)

format-check: ## fail where `make format` would change something
	@clang-format --dry-run -Werror $(C_FILES)

layers: ## fail on an include that looks up, and on a second door to a library
	@sh tests/layers.sh

docs: $(BUILD)/rpopd $(BUILD)/rpopctl ## fail on a manual page or README that does not hold
	@RPOPD=$(BUILD)/rpopd RPOPCTL=$(BUILD)/rpopctl bash tests/docs.sh $(MANUALS)

SBIN    := $(PREFIX)/sbin
BIN     := $(PREFIX)/bin
UNITDIR := $(PREFIX)/lib/systemd/system
MAN     := $(PREFIX)/share/man
LIBEXEC := $(PREFIX)/lib/rpopd
EXAMPLE := $(PREFIX)/share/doc/rpopd/examples
WORKERS := $(sort $(wildcard conf/pool/worker.*))
PLUGINS := conf/plugin/Makefile $(sort $(wildcard conf/plugin/*.c))
INCLUDE := $(PREFIX)/include
ETC     := $(SYSCONFDIR)/rpopd

install: $(BUILD)/rpopd $(BUILD)/rpopctl $(BUILD)/rpopd-exec ## install daemon, rpopctl, configuration, units, header, manual pages (PREFIX, SYSCONFDIR, DESTDIR)
	install -d $(addprefix $(DESTDIR),$(SBIN) $(BIN) $(LIBEXEC) $(ETC) $(UNITDIR) $(PREFIX)/lib/sysusers.d $(PREFIX)/lib/tmpfiles.d \
	  $(INCLUDE) $(MAN)/man1 $(MAN)/man3 $(MAN)/man5 $(MAN)/man8 $(PREFIX)/share/doc/rpopd $(EXAMPLE) $(EXAMPLE)/pool $(EXAMPLE)/plugin)
	install -m 755 $(BUILD)/rpopd $(DESTDIR)$(SBIN)/rpopd
	install -m 755 $(BUILD)/rpopctl $(DESTDIR)$(BIN)/rpopctl
	install -m 755 $(BUILD)/rpopd-exec $(DESTDIR)$(LIBEXEC)/rpopd-exec
	test -e $(DESTDIR)$(ETC)/rpopd.conf || install -m 644 conf/rpopd.conf $(DESTDIR)$(ETC)/rpopd.conf
	for u in rpopd.service rpopd@.service; do \
	  sed -e 's,@SBIN@,$(SBIN),g' -e 's,@ETC@,$(ETC),g' systemd/$$u >$(DESTDIR)$(UNITDIR)/$$u && \
	  chmod 644 $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	install -m 644 systemd/rpopd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/rpopd.conf
	install -m 644 systemd/rpopd.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/rpopd.conf
	install -m 644 daemon/rpopctl.1 $(DESTDIR)$(MAN)/man1/rpopctl.1
	install -m 644 daemon/rpopd.8 $(DESTDIR)$(MAN)/man8/rpopd.8
	install -m 755 $(WORKERS) $(DESTDIR)$(EXAMPLE)/pool
	install -m 644 conf/rpopd.conf.5 $(DESTDIR)$(MAN)/man5/rpopd.conf.5
	install -m 644 worker/handler/rpopd_plugin.h $(DESTDIR)$(INCLUDE)/rpopd_plugin.h
	install -m 644 worker/handler/rpopd_plugin.3 $(DESTDIR)$(MAN)/man3/rpopd_plugin.3
	install -m 644 $(PLUGINS) $(DESTDIR)$(EXAMPLE)/plugin
	@$(if $(DESTDIR),:,echo; echo 'Next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now rpopd')

uninstall: ## remove what install put there, but not the configuration
	rm -f $(addprefix $(DESTDIR),$(SBIN)/rpopd $(BIN)/rpopctl $(LIBEXEC)/rpopd-exec $(UNITDIR)/rpopd.service $(UNITDIR)/rpopd@.service \
	  $(PREFIX)/lib/sysusers.d/rpopd.conf $(PREFIX)/lib/tmpfiles.d/rpopd.conf $(MAN)/man1/rpopctl.1 $(MAN)/man8/rpopd.8 \
	  $(MAN)/man5/rpopd.conf.5 $(INCLUDE)/rpopd_plugin.h $(MAN)/man3/rpopd_plugin.3 $(PLUGINS:conf/%=$(EXAMPLE)/%) $(WORKERS:conf/%=$(EXAMPLE)/%))

clean: ## remove build/
	rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort -u | \
	  awk -F '\t' '{ printf "  %-13s %s\n", $$1, $$2 }'

-include $(shell find $(addprefix $(BUILD)/,common worker daemon tests) -name '*.d' 2>/dev/null)
FORCE:
.PHONY: all asan asan-programs bench check clean demo docs e2e format format-check help install layers programs run tidy tsan tsan-programs uninstall unit valgrind FORCE
.SECONDARY:
.DELETE_ON_ERROR:
endif

# No service begins by it: nginx and redis-server are for the tests' own.
deps: ## install the Debian packages that are missing (apt-get, with sudo when not root)
	@missing=; for p in $(DEPS); do case $$(dpkg-query -W -f '$${db:Status-Status}' "$$p" 2>/dev/null) in \
	    installed*) ;; *) missing="$$missing $$p" ;; esac; done; \
	if [ -z "$$missing" ]; then echo 'deps: all there'; exit 0; fi; \
	echo "deps: installing$$missing"; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	for p in apt-get $$sudo; do command -v $$p >/dev/null || \
	  { echo "deps: no $$p here; install the packages above by other means"; exit 1; }; done; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null || exit 1; \
	quiet=/usr/sbin/policy-rc.d; if [ -e $$quiet ]; then quiet=; else \
	  printf '#!/bin/sh\nexit 101\n' | $$sudo install -m 755 /dev/stdin $$quiet; fi; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing </dev/null; \
	code=$$?; [ -z "$$quiet" ] || $$sudo rm -f $$quiet; exit $$code
.PHONY: deps
