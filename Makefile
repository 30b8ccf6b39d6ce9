# rpopd: `make help` lists the targets. Settings: PREFIX DESTDIR SAN=address,undefined|thread WERROR=1 CORO=ucontext CC CFLAGS
PREFIX  ?= /usr
CFLAGS  ?= -O2 -g
VERSION := 0.1.0
comma   := ,
empty   :=
space   := $(empty) $(empty)
FLAVOUR := $(subst $(space),-,$(strip $(if $(SAN),$(subst $(comma),-,$(SAN))) $(CORO) $(FLAVOUR_SUFFIX)))
BUILD   := build$(if $(FLAVOUR),/$(FLAVOUR))

PACKAGES := libhiredis libev libconfig libsystemd
WARN    := -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings
# Libraries are asked for only when something is compiled: `deps` may have to install them first.
PC       = hiredis libconfig libsystemd
FLAGS    = -std=c11 -D_GNU_SOURCE -I. -I$(BUILD)/gen -DRPOPD_VERSION='"$(VERSION)"' -DRPOPD_PREFIX='"$(PREFIX)"' $(WARN) $(if $(WERROR),-Werror) \
           $(if $(findstring clang,$(CC)),-Wthread-safety) -ffile-prefix-map=$(CURDIR)=. -MMD -MP -pthread -fPIC \
           $(shell pkg-config --cflags $(PC)) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(if $(CORO),-DCORO_UCONTEXT) $(CFLAGS)
LIBS     = $(shell pkg-config --libs $(PC)) -lev -lm -ldl

MAINS    := daemon/main.c
SRC      := $(filter-out $(MAINS),$(sort $(wildcard common/*.c worker/*.c worker/*/*.c daemon/*.c)))
ASM      := $(sort $(wildcard worker/runtime/*.S))
OBJ      := $(SRC:%.c=$(BUILD)/%.o) $(ASM:%.S=$(BUILD)/%.o)
LIB      := $(BUILD)/librpopd.a
UNIT     := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c)))

all: $(if $(wildcard daemon/main.c),$(BUILD)/rpopd) ## build the daemon

$(BUILD)/rpopd: $(BUILD)/daemon/main.o $(LIB)
	$(CC) $(FLAGS) -o $@ $< $(LIB) $(LDFLAGS) $(LIBS)

$(LIB): $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $(OBJ)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c -o $@ $<

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB)
	$(CC) $(FLAGS) -o $@ $< $(LIB) $(LDFLAGS) $(shell sed -n 's/^.*LDFLAGS: //p' tests/unit/$*.c) -lcmocka $(LIBS)

unit: $(UNIT) ## run the unit tests
	@failed=0; for t in $(UNIT); do $$t || failed=1; done; exit $$failed

clean: ## remove build/
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
.PHONY: all unit clean
.SECONDARY:
